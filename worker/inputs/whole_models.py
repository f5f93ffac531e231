"""Loading of a whole model by transformers, without running code of the model."""

from pathlib import Path
from typing import Any

from worker.engine.checkpoint.reader import INDEX, NUMBERED, SINGLE


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
    import torch

    from worker.engine.model.meta import auto_class_of

    config = _config(folder)
    with torch.device("meta"):
        return auto_class_of(config).from_config(config)


def _config(folder: Path) -> Any:
    """Return the transformers config of a checked folder."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
