"""Selection of the files of a hub repository that belong to a checkpoint."""

from pathlib import PurePosixPath
from typing import Final

_SUFFIXES: Final = {".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken"}
_LEGAL: Final = ("license", "licence", "notice", "use_policy")
_TEMPLATES: Final = "additional_chat_templates"
_OTHER_LAYOUTS: Final = "consolidated"
"""Prefix of a second copy of the weights in the trainer's own layout."""


def is_wanted(name: str) -> bool:
    """Check whether a file belongs to the checkpoint: weights, config, tokenizer, templates, licence, card."""
    path = PurePosixPath(name)
    if not name.isprintable() or any(sign in name for sign in "*?[\\") or any(part.startswith(".") for part in path.parts):
        return False
    if len(path.parts) != 1:
        return len(path.parts) == 2 and path.parts[0] == _TEMPLATES and path.suffix == ".jinja"
    if path.suffix == ".safetensors":
        return not name.startswith(_OTHER_LAYOUTS)
    return path.suffix in _SUFFIXES or name == "README.md" or name.lower().startswith(_LEGAL)
