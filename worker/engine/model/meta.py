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

from service.contract.checkpoints import ENCODER_DECODER, UNSUPPORTED, reason_against_attention, reason_against_quantised
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe

_OWN_ATTENTION = {None, "eager", "sdpa"}


def read_config(checkpoint: Checkpoint) -> Any:
    """Return the transformers config of a checkpoint; raises the errors of `outline`."""
    for key, value in _walk(checkpoint.config):
        if key == "auto_map":
            raise ModelUnsafe("The config has an auto_map: the model has custom code, which is never run.")
        if key.endswith("_implementation") and "/" in str(value):
            raise ModelUnsafe(f"The config refers to remote code ({key}: {value!r}), which is never run.")
    files = [path.name for path in checkpoint.folder.iterdir()]
    tensors = [(name, place.stored_as, place.shape) for name, place in checkpoint.tensors.items()]
    reason = reason_against_attention(checkpoint.config) or reason_against_quantised(checkpoint.config, files, tensors)
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
    if model_type not in CONFIG_MAPPING:
        raise ArchitectureUnsupported(f"transformers {transformers.__version__} does not know the model_type {model_type!r}.")
    try:
        return AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # any error that the library may raise on an untrusted config
        raise ArchitectureUnsupported(
            f"config.json does not describe a {model_type!r}: transformers {transformers.__version__} refuses its values."
        ) from error


def build_on_meta(checkpoint: Checkpoint, config: Any) -> Any:
    """Return the model on the meta device, in the dtype that `from_pretrained` would give it."""
    _check_size(checkpoint, config)
    floats = [place.dtype for place in checkpoint.tensors.values() if place.dtype.is_floating_point and place.dtype.itemsize > 1]
    dtype = config.dtype or (floats[0] if floats else torch.float32)
    auto_class = auto_class_of(config)
    try:
        with torch.device("meta"):
            model = auto_class.from_config(config, dtype=dtype)
    except ImportError as error:
        raise ArchitectureUnsupported(f"{_a(config)} needs a library that is not installed on the worker.") from error
    except Exception as error:  # any error of a family's code on an untrusted config
        raise ArchitectureUnsupported(f"{_a(config)} cannot be built from its config ({type(error).__name__}).") from error
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
    for key, value in _walk(checkpoint.config):
        if key.endswith(("layers", "n_layer")) and isinstance(value, int) and value > max(4096, len(checkpoint.tensors)):
            raise ArchitectureUnsupported(
                f"The number of layers of a {config.model_type!r} does not fit its tensors ({key}: {value})."
            )


def _walk(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON objects."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(config, list):
        for value in config:
            yield from _walk(value)
