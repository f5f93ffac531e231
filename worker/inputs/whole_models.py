"""Loading of a whole model by transformers, without running code of the model."""

from pathlib import Path
from typing import Any

from worker.engine.checkpoint.reader import INDEX, NUMBERED, SINGLE


def load_whole(folder: Path, **options: Any) -> Any:
    """Return the causal language model of a checked folder, in the dtype of its file."""
    from transformers import AutoConfig, AutoModelForCausalLM

    safely = {"trust_remote_code": False, "local_files_only": True}
    if not any((folder / name).is_file() for name in (SINGLE, INDEX)) and (folder / NUMBERED).is_file():
        options["config"] = AutoConfig.from_pretrained(folder, **safely)
        options["config"].transformers_weights = NUMBERED  # transformers does not look for it by itself
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True, **safely, **options)
