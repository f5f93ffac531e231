"""Meta-device models (shapes without data) of untrusted checkpoints: the config is checked and custom code never run."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from service.contract.checkpoints import items_of, reason_against_code, reason_against_config, reason_against_quantised
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
    except Exception as error:  # any error that the library may raise on an untrusted config
        detail = (
            f"transformers cannot read config.json (model_type {str(model_type)[:80]!r}); compare it with the original model's."
        )
        raise ArchitectureUnsupported(detail) from error
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
    except Exception as error:
        kind = type(config).__name__
        raise ArchitectureUnsupported(f"{kind} is not the config of a causal language model that can be built.") from error
    return model.eval().requires_grad_(False)


def text_config(config: Any) -> Any:
    """Return the decoder's part of a config; in multimodal models it is a nested config."""
    return config.get_text_config(decoder=True)


def _check_size(checkpoint: Checkpoint, config: Any) -> None:
    """Refuse, before building, a config with more layers than tensors: an untrusted one may have a billion."""
    for key, value in items_of(checkpoint.config):
        if key.endswith(("layers", "n_layer")) and isinstance(value, int) and value > max(4096, len(checkpoint.tensors)):
            raise ArchitectureUnsupported(
                f"The number of layers of a {config.model_type!r} does not fit its tensors ({key}: {value})."
            )
