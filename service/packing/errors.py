"""What can be wrong with packed files, masks and the folders they lie in. Each message says what to do."""

from pathlib import Path
from typing import ClassVar


class PackingError(Exception):
    """The base; the message is a sentence for a person."""

    type: ClassVar[str] = "packing"
    """Stable, for programs."""

    def __init__(self, path: Path | str, detail: str) -> None:
        self.path = path if isinstance(path, str) else path.name
        super().__init__(f"{self.path} {detail}")


class NotAContainer(PackingError):
    """It is something else."""

    type = "not-a-container"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, "is neither a packed file nor a mask of dsnot; name the folder that holds the artifact's files")


class NewerVersion(PackingError):
    """It was written by a later dsnot, in a way that this one cannot read."""

    type = "newer-version"

    def __init__(self, path: Path, version: int, known: int) -> None:
        detail = f"has version {version} of its format, and this dsnot reads up to {known}; update with `pip install -U dsnot`"
        super().__init__(path, detail)


class Truncated(PackingError):
    """It ends too soon: a copy that broke off, or a writer that died."""

    type = "truncated"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "ends before it should; fetch it again, `dsnot artifacts download` goes on where it stopped")


class Altered(PackingError):
    """It is not what was written."""

    type = "altered"

    def __init__(self, path: Path | str, what: str) -> None:
        super().__init__(path, f"is damaged or was changed: {what}; fetch it again with `dsnot artifacts download`")


class Missing(PackingError):
    """A file that has to be there is not."""

    type = "missing"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path, "is not there; fetch it again with `dsnot artifacts download`")


class NothingToDo(PackingError):
    """A folder without the files that the call is about."""

    type = "nothing-to-do"


class WrongBase(PackingError):
    """A mask meets weights that it was not made of."""

    type = "wrong-base"

    def __init__(self, path: Path, base: str, what: str) -> None:
        super().__init__(path, f"belongs to the weights of {base}, and the base folder's are others: {what}; give that model")


class KeptWeightChanged(PackingError):
    """The weights cannot be told by a mask: one that was kept is not what it was."""

    type = "kept-weight-changed"

    def __init__(self, path: Path, tensor: str) -> None:
        super().__init__(path, f"keeps weights of {tensor} that are not the base model's; publish it dense or packed")
