"""Files of a model's folder: companions of its weights, which an artifact takes over, and others. Standard library only.

Companions are all files that are no weights of another kind, no code, and steer no loading that the artifact does not support.
A subfolder with weights is left out as a whole, unless it is a module of sentence-transformers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

CONFIGS: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)
"""Configs in which transformers looks for an `auto_map`."""
CARD: Final = "README.md"
"""The model card, which an artifact keeps under another name."""
QUANTISER_FILES: Final = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
_MODULE: Final = re.compile(r"(\w+_)?\d+_[A-Z]\w*")
"""Folder of a module of sentence-transformers, such as `2_Dense`."""
_TOKENIZER: Final = re.compile(r"tokenizer\.|vocab|merges|spiece|sentencepiece|\.spm$|tiktoken|tekken|\.bpe|^bpe")
"""In the names of the files that tokenizers are read from."""
_INDEX: Final = ".index.json"
_WEIGHTS: Final = re.compile(
    r"\.(safetensors|bin|pt|pth|ckpt|pkl|pickle|joblib|h5|keras|msgpack|ot|npy|npz|gguf|ggml|llamafile|onnx|onnx_data|tflite|pb"
    r"|mlmodel|pte|nemo|distcp|params|engine|plan|task)$",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"\.(py|pyc|pyd|so|dll|exe|sh|bat|js|ipynb|jar|whl)$", re.IGNORECASE)
_ARCHIVE: Final = re.compile(r"\.(zip|tar|gz|tgz|bz2|xz|zst|7z)$", re.IGNORECASE)
_OF_AN_ARTIFACT: Final = re.compile(
    r"(README\.source\.md|recipe\.json|report\.html|sparsity_report\.json|provenance\.json|SHA256SUMS|manifest\.json|model\.sig"
    r"|.*\.(packed|mask|sha256|sha512|md5))"
)
_ADAPTER: Final = "adapter_"
_OTHER_LAYOUT: Final = ("consolidated", "params.json")
"""Weights and config in the trainer's own layout."""


@dataclass(frozen=True)
class Companions:
    """Companion files of a model's weights, and the other files and folders, each with the reason why it is left out."""

    names: tuple[str, ...]
    left_out: dict[str, str]


def companions(names: Iterable[str], weights: Iterable[str] = ()) -> Companions:
    """Sort the files of a model's folder, given as POSIX paths within it; `weights`: its own weights and their index.

    Hidden files and the model card are in neither part.
    """
    others = sorted(set(names) - set(weights) - {CARD})
    visible = [name for name in others if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    foreign = {folder for name in visible if (folder := _folder(name)) and _is_foreign(folder, name)}
    taken, left_out = [], {}
    for name in visible:
        if _folder(name) in foreign:
            left_out[f"{_folder(name)}/"] = "other weights"
        elif reason := _reason_against(name):
            left_out[name] = reason
        else:
            taken.append(name)
    return Companions(tuple(taken), left_out)


def files_to_fetch(names: Iterable[str]) -> list[str]:
    """Return the files of a repository that a job needs: weights and index, companions, model card, signs of a quantiser."""
    every = set(names)
    weights = {name for name in every if _is_own_weight(name)}
    return sorted({*weights, *companions(every, weights).names, *(every & {CARD, *QUANTISER_FILES})})


def reason_against_adapter(names: Iterable[str]) -> str | None:
    """Return why a folder with these files is an adapter without its base; None if it is none."""
    every = set(names)
    is_complete = "config.json" in every and any(map(_is_own_weight, every))
    if is_complete or not every & {"adapter_config.json", "adapter_model.safetensors"}:
        return None
    return "The folder has an adapter without its base model; merge it first, for example with merge_and_unload of peft."


def reason_against_tokenizer(names: Iterable[str]) -> str | None:
    """Return why no tokenizer can be read from a folder with these files, but one of bytes that needs none; else None."""
    if any(_TOKENIZER.search(name) for name in names if "/" not in name):
        return None
    return "The model has no file of a tokenizer, such as tokenizer.json or tokenizer.model; add those of its base model."


def reason_against_link(name: str) -> str:
    """Return the sentence about a file that is a link out of its model's folder, as all are in the hub's cache."""
    return f"{name!r} is a link that leads out of the model's folder; copy the model with `dsnot models import`."


def reason_against_cache(folder: Path) -> str | None:
    """Return why a folder of the hub's cache, with snapshots below it, is no model; None if it is no such folder."""
    found = sorted(path.name for path in folder.glob("snapshots/*") if path.is_dir())
    if not found:
        return None
    return f"The folder is one of the hub's cache, with snapshots/{_listed(found)}; copy one with `dsnot models import`."


def left_out_sentence(left_out: dict[str, str]) -> str | None:
    """Return a sentence that names files left out, a few per reason; None if there are none."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        by_reason.setdefault(reason, []).append(name)
    parts = [f"{_listed(found)} ({reason})" for reason, found in by_reason.items()]
    return f"Files of the model that the artifact leaves out: {'; '.join(parts)}." if parts else None


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:80] if name.isprintable() else ascii(name)[:80] for name in names[:most]) + more


def _folder(name: str) -> str:
    """Return the top folder of a file, empty for one without a folder."""
    return name.partition("/")[0] if "/" in name else ""


def _is_foreign(folder: str, name: str) -> bool:
    return _WEIGHTS.search(name) is not None and not _MODULE.fullmatch(folder)


def _is_own_weight(name: str) -> bool:
    is_weight = name.endswith((".safetensors", ".safetensors.index.json")) and "/" not in name
    return is_weight and not name.startswith((".", _ADAPTER, _OTHER_LAYOUT[0])) and not _is_odd(name)


def _reason_against(name: str) -> str | None:
    of_module = _MODULE.fullmatch(_folder(name)) is not None and name.endswith(".safetensors")
    reasons = {
        "name that an artifact cannot have": _is_odd(name),
        "about other weights": _OF_AN_ARTIFACT.fullmatch(name),
        "of a quantiser": name in QUANTISER_FILES,
        "adapter": name.startswith(_ADAPTER),
        "code": _CODE.search(name),
        "archive": _ARCHIVE.search(name),
        "other weights": (_WEIGHTS.search(name) and not of_module) or name.endswith(_INDEX) or name.startswith(_OTHER_LAYOUT),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _is_odd(name: str) -> bool:
    """Check whether a manifest cannot list the name, or the hub's client would take it for a pattern."""
    return not name.isprintable() or bool(set(name) & set("*?[\\"))
