"""Meta-device models (shapes without data) of untrusted checkpoints: the config is checked and custom code never run."""

from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

from service.contract.bounded_json import walk
from service.contract.checkpoints import reason_against_code, reason_against_config, reason_against_quantised
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
    model_type = checkpoint.config.get("model_type")
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # any error that the library may raise on an untrusted config
        raise ArchitectureUnsupported(_reason_against(model_type, error)) from error
    vars(config).pop("auto_map", None)  # left over: of known types no code is run
    if config._attn_implementation not in _OWN_ATTENTION:
        config._attn_implementation = None  # the library's default for this machine
    config._experts_implementation = "eager"  # the faster ones do not expose which tokens an expert sees
    if getattr(config, "rescale_every", 0):
        config.rescale_every = 0  # RWKV halves states and weights together to stay in float16's range: no effect on results
    return config


def build_on_meta(checkpoint: Checkpoint, config: Any) -> Any:
    """Return the model on the meta device, in the dtype that `from_pretrained` would give it."""
    _check_size(checkpoint, config)
    dtype = config.dtype or checkpoint.first_dtype
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except MemoryError:
        raise
    except Exception as error:
        kind = type(config).__name__
        if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
            reason = f"transformers cannot build the model that config.json describes ({kind}: {type(error).__name__})"
        else:
            reason = f"{kind} is not the config of a causal language model that transformers {transformers.__version__} knows"
        raise ArchitectureUnsupported(f"{reason}; take another model.") from error
    return model.eval().requires_grad_(False)


def _reason_against(model_type: Any, error: Exception) -> str:
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        known = f"transformers {transformers.__version__} does not know the model_type {str(model_type)[:100]!r} of config.json"
        return f"{known}; take another model."
    return f"transformers cannot read config.json (model_type {model_type!r}: {type(error).__name__}); correct the file."


def text_config(config: Any) -> Any:
    """Return the decoder's part of a config; in multimodal models it is a nested config."""
    return config.get_text_config(decoder=True)


def _check_size(checkpoint: Checkpoint, config: Any) -> None:
    """Refuse, before building, a config with more layers than tensors: an untrusted one may have a billion."""
    for key, value in walk(checkpoint.config):
        if key.endswith(("layers", "n_layer")) and isinstance(value, int) and value > max(4096, len(checkpoint.tensors)):
            raise ArchitectureUnsupported(
                f"The number of layers of a {config.model_type!r} does not fit its tensors ({key[:100]}: {value})."
            )
