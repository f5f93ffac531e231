"""Local models: folders below the model root."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from service.models.refusals import ModelNotFound, ModelUnsafe
from service.settings import Settings


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


def folder_files(settings: Settings, model_id: str) -> FolderFiles:
    """Raises ModelNotFound."""
    try:
        return FolderFiles(settings.local_model(model_id))
    except (ValueError, OSError, RuntimeError):  # a link that leads out is no model, and nobody is told where it leads
        raise ModelNotFound(f"there is no local model {model_id}") from None
