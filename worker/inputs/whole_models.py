"""Loading of a whole model by transformers, without running code of the model."""

from pathlib import Path
from typing import Any, Final

import torch

from service.kit.quantities import gib
from worker.engine.activations.store import free_memory
from worker.engine.checkpoint.reader import INDEX, NUMBERED, SINGLE

_LOADING: Final = {"cpu": 2.5, "cuda": 1.2}
"""Upper bound of the host's memory for loading, as a multiple of the weights' bytes: on a CPU float16 becomes float32."""


class DeviceTooSmall(Exception):
    """Lack of memory for the whole model on the device or host; the text says so in a sentence."""


def check_room(path: Path, target: torch.device) -> None:
    """Raise DeviceTooSmall if the host lacks memory, because running out would kill the process and lose the pruned model.

    Models for a GPU are loaded into the host's memory first; a GPU that runs out of memory only raises.
    """
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    free = free_memory()
    if weights * _LOADING[target.type] > free:
        detail = f"{gib(weights)} of weights, and {gib(free)} of memory are free"
        raise DeviceTooSmall(f"Loading the whole model needs too much memory: {detail}.")


def ready(model: Any, target: torch.device) -> Any:
    """Return the model on the device in its own dtype, but float16 as float32 on a CPU, for inference."""
    dtype = torch.float32 if target.type == "cpu" and model.dtype is torch.float16 else model.dtype
    return model.to(target, dtype).eval()


def load_whole(folder: Path, **options: Any) -> Any:
    """Return the causal language model of a checked folder, in the dtype of its file; a composite one with all its parts."""
    from worker.engine.model.meta import auto_class_of

    config = _config(folder)
    if not any((folder / name).is_file() for name in (SINGLE, INDEX)) and (folder / NUMBERED).is_file():
        config.transformers_weights = NUMBERED  # transformers does not look for it by itself
    safely = {"trust_remote_code": False, "local_files_only": True, "use_safetensors": True}
    return auto_class_of(config).from_pretrained(folder, config=config, dtype="auto", **safely, **options)


def build_without_weights(folder: Path) -> Any:
    """Return the model of `load_whole` on the meta device."""
    from worker.engine.model.meta import auto_class_of

    config = _config(folder)
    with torch.device("meta"):
        return auto_class_of(config).from_config(config)


def _config(folder: Path) -> Any:
    """Return the transformers config of a checked folder."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
