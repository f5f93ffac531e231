"""Whole artifacts: a folder with packed files or masks becomes one that transformers loads."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from service.contract import MANIFEST_NAME, SUMS_NAME
from service.packing.container import MASK_SUFFIX, PACKED_SUFFIX, Told
from service.packing.errors import Altered, Missing, NothingToDo
from service.packing.header import FileFacts
from service.packing.packing import quiet
from service.packing.restoring import BaseFolder, restore, unpacked

_INDEX: Final = "model.safetensors.index.json"
_NOT_COPIED: Final = {PACKED_SUFFIX, MASK_SUFFIX, ".safetensors", ".dsnot-part"}


def unpack(folder: Path, to: Path | None = None, told: Told = quiet) -> list[FileFacts]:
    """Write the safetensors files of an artifact's packed files, into the folder itself or a complete checkpoint into another.

    What is there and right already is left alone.

    Raises:
        PackingError: what is wrong, and what to do.
    """
    hint = f"has no packed files; safetensors files need no unpacking, and {MASK_SUFFIX} files `dsnot artifacts apply-mask`"
    paths = _containers(folder, PACKED_SUFFIX, hint)
    destination = _prepared(folder, to or folder)
    facts = [restore(path, destination, unpacked, told) for path in paths]
    _write_sums(folder, destination, facts)
    return facts


def apply_mask(folder: Path, base: Path, to: Path, told: Told = quiet) -> list[FileFacts]:
    """Write the checkpoint that an artifact's masks make of the base model in the folder `base`.

    Raises:
        WrongBase: that is another model, or another revision of it.
        PackingError: what else is wrong, and what to do.
    """
    paths = _containers(folder, MASK_SUFFIX, f"has no masks; {PACKED_SUFFIX} files need `dsnot artifacts unpack`")
    weights = BaseFolder(base)
    if base.resolve() == to.resolve():
        raise NothingToDo(to, "is the base model's folder, whose files would be overwritten; give --to another one")
    destination = _prepared(folder, to)
    facts = [restore(path, destination, weights.masked, told) for path in paths]
    _write_sums(folder, destination, facts)
    return facts


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 by name, as SHA256SUMS has it; empty if there is none. Raises Altered."""
    path, found = folder / SUMS_NAME, {}
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else []:
        digest, separator, name = line.partition("  ")
        if len(digest) != 64 or not separator:
            raise Altered(path, f"{line[:80]!r} is no checksum")
        found[name] = digest
    return found


def _containers(folder: Path, suffix: str, hint: str) -> list[Path]:
    """The files of one format, which have to be there for every shard."""
    if not folder.is_dir():
        raise NothingToDo(folder, "is no folder; name the one that `dsnot artifacts download` made")
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
        raise Altered(index, "it is no index of safetensors files") from None


def _prepared(folder: Path, destination: Path) -> Path:
    """The destination with what an artifact has beside its weights."""
    destination.mkdir(parents=True, exist_ok=True)
    if destination.resolve() == folder.resolve():
        return destination
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_own = path.suffix in _NOT_COPIED or path.name in (SUMS_NAME, MANIFEST_NAME)
        if path.is_file() and not is_own and not path.is_relative_to(destination):
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination / name)
    return destination


def _write_sums(folder: Path, destination: Path, facts: Iterable[FileFacts]) -> None:
    """SHA256SUMS of another folder than the artifact's: the artifact's sums, of what is there, and those of its weights."""
    if destination.resolve() == folder.resolve():
        return
    there = {name: digest for name, digest in sums(folder).items() if Path(name).suffix not in _NOT_COPIED}
    there |= {each.name: each.sha256 for each in facts}
    (destination / SUMS_NAME).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(there.items())), "utf-8")
