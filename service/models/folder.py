"""Local models: folders below the model root."""

import os
from collections import deque
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

from service.contract.checkpoint_files import reason_against_cache, reason_against_link
from service.contract.checkpoints import reason_against_name
from service.contract.model_spec import ModelSpec
from service.models.refusals import ModelNotFound, ModelUnsafe
from service.settings import Settings

_LOOKED_AT: Final = 1000


class FolderFiles:
    """The files of a folder; symbolic links to targets outside it are refused, as the worker does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """File name → size in bytes. Raises ModelUnsafe."""
        try:
            entries = sorted(self._folder.iterdir())
            for path in entries:
                if reason := reason_against_name(path.name):
                    raise ModelUnsafe(reason)
                if path.exists() and not path.is_file() and not path.is_dir():
                    raise ModelUnsafe(f"{path.name} is neither a file nor a folder; remove it")
            found = {path.name: path.stat().st_size for path in entries if self._is_file(path)}
        except (OSError, RuntimeError):
            raise ModelUnsafe("the model's folder cannot be read") from None
        if "config.json" not in found and (reason := reason_against_cache(self._folder)):
            raise ModelUnsafe(reason)
        return found

    def _is_file(self, path: Path) -> bool:
        try:
            is_inside = not path.is_symlink() or path.resolve().is_relative_to(self._folder)
        except (OSError, RuntimeError):
            return False
        if not is_inside:
            raise ModelUnsafe(reason_against_link(path.name))
        return path.is_file()

    def read(self, name: str, start: int, end: int) -> bytes:
        """Read bytes `start` to `end` of a file. Raises ModelUnsafe."""
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except OSError:
            raise ModelUnsafe(f"{name} cannot be read") from None


def local_models(settings: Settings, *, limit: int) -> list[str]:
    """Return up to `limit` ids of local models: folders below the model root with a config.json whose ids are valid.

    At most `_LOOKED_AT` directory entries are examined.
    """
    found: list[str] = []
    waiting, looked_at = deque([""]), 0
    while waiting and len(found) < limit and looked_at < _LOOKED_AT:
        parent = waiting.popleft()
        for name in _names(settings.model_root / parent, _LOOKED_AT - looked_at):
            looked_at += 1
            model_id = f"{parent}/{name}" if parent else name
            if not _is_model_s_name(settings, model_id):
                continue
            if (settings.model_root / model_id / "config.json").is_file():
                found.append(model_id)
            else:
                waiting.append(model_id)
    return sorted(found[:limit])


def _names(folder: Path, most: int) -> list[str]:
    """Return up to `most` names of a folder's entries; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, most)]
    except OSError:
        return []


def _is_model_s_name(settings: Settings, model_id: str) -> bool:
    """Check whether this is a valid model id of a folder below the model root."""
    try:
        ModelSpec(source="local", id=model_id)
        settings.local_model(model_id)
    except (ValueError, OSError, RuntimeError):
        return False
    return True


def folder_files(settings: Settings, model_id: str) -> FolderFiles:
    """Return the files of a local model. Raises ModelNotFound."""
    try:
        return FolderFiles(settings.local_model(model_id))
    except (ValueError, OSError, RuntimeError):  # also a link out of the model root: its target must not be disclosed
        raise ModelNotFound(f"there is no local model {model_id}") from None
