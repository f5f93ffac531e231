"""Restoring of whole artifact folders with packed files or masks to checkpoints that transformers loads."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from service.contract.artifacts import MANIFEST_NAME, SUMS_NAME
from service.packing.container import MASK_SUFFIX, PACKED_SUFFIX, Progress
from service.packing.errors import Altered, Missing, NothingToDo
from service.packing.header import FileFacts
from service.packing.packing import quiet
from service.packing.restoring import BaseFolder, restore, unpacked

_INDEX: Final = "model.safetensors.index.json"
_NOT_COPIED: Final = {PACKED_SUFFIX, MASK_SUFFIX, ".safetensors", ".dsnot-part"}


def unpack(folder: Path, to: Path | None = None, on_progress: Progress = quiet) -> list[FileFacts]:
    """Write the safetensors files of an artifact's packed files, into its folder, or as a complete checkpoint into `to`.

    Existing files with the right checksum are kept.

    Raises:
        PackingError: a file is missing, damaged or not of this format.
    """
    hint = f"has no packed files; safetensors files need no unpacking, and {MASK_SUFFIX} files `dsnot artifacts apply-mask`"
    paths = _containers(folder, PACKED_SUFFIX, hint)
    destination = _prepared(folder, to or folder)
    facts = [restore(path, destination, unpacked, on_progress) for path in paths]
    _write_sums(folder, destination, facts)
    return facts


def apply_mask(folder: Path, base: Path, to: Path, on_progress: Progress = quiet) -> list[FileFacts]:
    """Write the checkpoint that results from applying an artifact's masks to the base model in the folder `base`.

    Raises:
        WrongBase: `base` is another model or revision.
        PackingError: a file is missing, damaged or not of this format.
    """
    paths = _containers(folder, MASK_SUFFIX, f"has no masks; {PACKED_SUFFIX} files need `dsnot artifacts unpack`")
    weights = BaseFolder(base)
    if base.resolve() == to.resolve():
        raise NothingToDo(to, "is the base model's folder, whose files would be overwritten; set --to to another folder")
    destination = _prepared(folder, to)
    facts = [restore(path, destination, weights.masked, on_progress) for path in paths]
    _write_sums(folder, destination, facts)
    return facts


def sums(folder: Path) -> dict[str, str]:
    """Return name → SHA-256 from SHA256SUMS; empty if there is no such file. Raises Altered."""
    path, found = folder / SUMS_NAME, {}
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else []:
        digest, separator, name = line.partition("  ")
        if len(digest) != 64 or not separator:
            raise Altered(path, f"{line[:80]!r} is not a checksum line")
        found[name] = digest
    return found


def _containers(folder: Path, suffix: str, hint: str) -> list[Path]:
    """Return the files of one format. Raises Missing: there is none for a shard of the index."""
    if not folder.is_dir():
        raise NothingToDo(folder, "is not a folder; name the one that `dsnot artifacts download` created")
    paths = sorted(folder.glob(f"*{suffix}"))
    if not paths:
        raise NothingToDo(folder, hint)
    for shard in _shards(folder / _INDEX):
        if not (path := folder / Path(shard).with_suffix(suffix).name).is_file():
            raise Missing(path)
    return paths


def _shards(index: Path) -> Iterable[str]:
    if not index.is_file():
        return ()
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Altered(index, "it is not a safetensors index") from None


def _prepared(folder: Path, destination: Path) -> Path:
    """Create the destination and copy all files of the artifact but the weights."""
    destination.mkdir(parents=True, exist_ok=True)
    if destination.resolve() == folder.resolve():
        return destination
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_own = len(name.parts) == 1 and (path.suffix in _NOT_COPIED or path.name in (SUMS_NAME, MANIFEST_NAME))
        if path.is_file() and not is_own and not path.is_relative_to(destination):
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination / name)
    return destination


def _write_sums(folder: Path, destination: Path, facts: Iterable[FileFacts]) -> None:
    """Write SHA256SUMS into another folder than the artifact's: checksums of the copied files and of the restored weights."""
    if destination.resolve() == folder.resolve():
        return
    there = {name: digest for name, digest in sums(folder).items() if "/" in name or Path(name).suffix not in _NOT_COPIED}
    there |= {each.name: each.sha256 for each in facts}
    (destination / SUMS_NAME).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(there.items())), "utf-8")
