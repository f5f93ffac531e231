"""Errors of packed files, masks and artifact folders. Each message says what to do."""

from pathlib import Path
from typing import ClassVar


class PackingError(Exception):
    """Base of the errors; the message is for people."""

    type: ClassVar[str] = "packing"
    """Stable error code, for programs."""

    def __init__(self, path: Path | str, detail: str) -> None:
        self.path = path if isinstance(path, str) else path.name
        super().__init__(f"{self.path} {detail}")


class NotAContainer(PackingError):
    """File that is neither a packed file nor a mask."""

    type = "not-a-container"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, "is neither a packed file nor a mask of dsnot; name the folder with the artifact's files")


class NewerVersion(PackingError):
    """Container with a format version that this dsnot does not support."""

    type = "newer-version"

    def __init__(self, path: Path, version: int, known: int) -> None:
        detail = f"has format version {version}, and this dsnot reads up to {known}; update with `pip install -U dsnot`"
        super().__init__(path, detail)


class Truncated(PackingError):
    """File that is too short: an interrupted copy or writer."""

    type = "truncated"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "is truncated; run `dsnot artifacts download` again, which resumes where it stopped")


class Altered(PackingError):
    """File whose content does not match its checksums or is inconsistent."""

    type = "altered"

    def __init__(self, path: Path | str, what: str) -> None:
        super().__init__(path, f"is damaged or was changed: {what}; download it again with `dsnot artifacts download`")


class Missing(PackingError):
    """Required file that is missing."""

    type = "missing"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, "is missing; download it again with `dsnot artifacts download`")


class NothingToDo(PackingError):
    """Folder without the files that the operation needs."""

    type = "nothing-to-do"


class WrongBase(PackingError):
    """Mask applied to weights other than those it was made from."""

    type = "wrong-base"

    def __init__(self, path: Path, base: str, what: str) -> None:
        super().__init__(path, f"was made from {base}, and the base folder has other weights: {what}; name that model's folder")


class KeptWeightChanged(PackingError):
    """Pruned weights that a mask cannot represent, because a kept weight was changed."""

    type = "kept-weight-changed"

    def __init__(self, path: Path, tensor: str) -> None:
        super().__init__(path, f"keeps weights of {tensor} that differ from the base model's; publish it dense or packed")
