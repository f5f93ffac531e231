"""Local models: folders below the model root."""

import os
from collections import deque
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

from service.contract import ModelSpec
from service.models.refusals import ModelNotFound, ModelUnsafe
from service.settings import Settings

_LOOKED_AT: Final = 1000


class FolderFiles:
    """The files of a folder. Links that lead out of it do not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        try:
            found = {path.name: path.stat().st_size for path in self._folder.iterdir() if self._is_file(path)}
        except OSError:
            raise ModelUnsafe("the model's folder cannot be read") from None
        return found

    def _is_file(self, path: Path) -> bool:
        try:
            return path.is_file() and path.resolve().is_relative_to(self._folder)
        except (OSError, RuntimeError):
            return False

    def read(self, name: str, start: int, end: int) -> bytes:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except OSError:
            raise ModelUnsafe(f"{name} cannot be read") from None


def local_models(settings: Settings, *, limit: int) -> list[str]:
    """The ids of local models: folders below the model root with a config.json, as far as jobs can name them.

    At most `limit`, and no more than `_LOOKED_AT` entries are looked at, however many there are.
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
    """Of what lies in a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, most)]
    except OSError:
        return []


def _is_model_s_name(settings: Settings, model_id: str) -> bool:
    """Whether a job can name this folder, and it lies below the model root."""
    try:
        ModelSpec(source="local", id=model_id)
        settings.local_model(model_id)
    except (ValueError, OSError, RuntimeError):
        return False
    return True


def folder_files(settings: Settings, model_id: str) -> FolderFiles:
    """Raises ModelNotFound."""
    try:
        return FolderFiles(settings.local_model(model_id))
    except (ValueError, OSError, RuntimeError):  # a link that leads out is no model, and nobody is told where it leads
        raise ModelNotFound(f"there is no local model {model_id}") from None
