"""Meta-device models (shapes without data) of untrusted checkpoints: the config is checked and custom code never run."""

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedModel,
)
from transformers.models.auto.auto_factory import _get_model_class

from service.contract.bounded_json import walk
from service.contract.checkpoints import (
    ENCODER_DECODER,
    UNSUPPORTED,
    reason_against_code,
    reason_against_config,
    reason_against_quantised,
)
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe

_OWN_ATTENTION = {None, "eager", "sdpa"}


def read_config(checkpoint: Checkpoint) -> Any:
    """Return the transformers config of a checkpoint; raises the errors of `outline`."""
    if reason := reason_against_code(checkpoint.config):
        raise ModelUnsafe(reason)
    files = [path.name for path in checkpoint.folder.iterdir()]
    tensors = [(name, place.stored_as, place.shape) for name, place in checkpoint.tensors.items()]
    reason = reason_against_config(checkpoint.config) or reason_against_quantised(checkpoint.config, files, tensors)
    if reason:
        raise ArchitectureUnsupported(reason)
    config = _transformers_config(checkpoint)
    if config.is_encoder_decoder:
        raise ArchitectureUnsupported(ENCODER_DECODER)
    if config._attn_implementation not in _OWN_ATTENTION:
        config._attn_implementation = None  # the library's default for this machine
    config._experts_implementation = "eager"  # the faster ones do not expose which tokens an expert sees
    if getattr(config, "rescale_every", 0):
        config.rescale_every = 0  # RWKV halves states and weights together to stay in float16's range: no effect on results
    return config


def _transformers_config(checkpoint: Checkpoint) -> Any:
    model_type = checkpoint.config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        known = f"transformers {transformers.__version__} does not know the model_type {str(model_type)[:100]!r} of config.json"
        raise ArchitectureUnsupported(f"{known}; take another model.")
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # any error that the library may raise on an untrusted config
        raise ArchitectureUnsupported(
            f"transformers cannot read config.json (model_type {model_type!r}: {type(error).__name__}); correct the file."
        ) from error
    vars(config).pop("auto_map", None)  # left over: of known types no code is run
    return config


def build_on_meta(checkpoint: Checkpoint, config: Any) -> Any:
    """Return the model on the meta device, in the dtype that `from_pretrained` would give it."""
    _check_size(checkpoint, config)
    dtype = config.dtype or checkpoint.first_dtype
    auto_class = auto_class_of(config)
    try:
        with torch.device("meta"):
            model = auto_class.from_config(config, dtype=dtype)
    except MemoryError:
        raise
    except ImportError as error:
        raise ArchitectureUnsupported(f"{_a(config)} needs a library that is not installed on the worker.") from error
    except Exception as error:  # any error of a family's code on an untrusted config
        raise ArchitectureUnsupported(
            f"{_a(config)} cannot be built from its config ({type(error).__name__}); correct config.json."
        ) from error
    return model.eval().requires_grad_(False)


def check_supported(config: Any) -> None:
    """Raise ArchitectureUnsupported, naming the class, if the family is in `UNSUPPORTED`."""
    kind = _get_model_class(config, auto_class_of(config)._model_mapping).__name__
    if kind in UNSUPPORTED:
        raise ArchitectureUnsupported(f"{kind} {UNSUPPORTED[kind]}")


def auto_class_of(config: Any) -> Any:
    """Return the auto class of transformers that loads the model with its head: a composite model with all its parts.

    ArchitectureUnsupported if the config is not that of a causal language model.
    """
    composite = (AutoModelForMultimodalLM, AutoModelForSeq2SeqLM)
    is_composite = text_config(config) is not config
    for auto_class in (*composite, AutoModelForCausalLM) if is_composite else (AutoModelForCausalLM, *composite):
        if type(config) in auto_class._model_mapping:
            return auto_class
    raise ArchitectureUnsupported(f"{_a(config)} is not a causal language model that transformers knows; take a decoder model.")


def text_config(config: Any) -> Any:
    """Return the decoder's part of a config; in composite models it is a nested config."""
    return config.get_text_config(decoder=True)


def text_model(model: Any) -> tuple[str, Any]:
    """Return path and module of the decoder, with its own head if it has one: the model itself unless it is composite."""
    text = text_config(model.config)
    return next(((name, part) for name, part in _models_in(model) if part.config is text), ("", model))


def other_models(model: Any) -> dict[str, nn.Module]:
    """Return the models within a composite model that a text does not pass, such as its vision encoder, by path."""
    path, text = text_model(model)
    return {
        name: part
        for name, part in _models_in(model)
        if type(part.config) is not type(text.config) and not f"{path}.".startswith(f"{name}.") and name
    }


def _models_in(model: Any) -> Iterator[tuple[str, Any]]:
    return ((name, part) for name, part in model.named_modules() if isinstance(part, PreTrainedModel))


def _a(config: Any) -> str:
    return f"A model of type {config.model_type!r}"


def _check_size(checkpoint: Checkpoint, config: Any) -> None:
    """Refuse, before building, a config with more layers than tensors: an untrusted one may have a billion."""
    for key, value in walk(checkpoint.config):
        if key.endswith(("layers", "n_layer")) and isinstance(value, int) and value > max(4096, len(checkpoint.tensors)):
            raise ArchitectureUnsupported(
                f"The number of layers of a {config.model_type!r} does not fit its tensors ({key[:100]}: {value})."
            )
