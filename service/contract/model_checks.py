"""Check of a model by a worker, which builds it without weights: the copy of its files that is sent, and the result.

The service reads config, index and headers of a model, wherever it is. The worker gets what was read as sparse files: as large as
the originals, with zeros in place of weights, so that it reads them as it reads a model that it prunes.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.failures import Failure

MAX_CHECKED_BYTES: Final = 32 << 20
"""Maximum size of config, index and headers for a check; the largest mixtures of experts have about 12 MB."""
_MAX_JSON_BYTES: Final = 16 * MAX_CHECKED_BYTES
"""Maximum size of the JSON of that many bytes, in which a control character takes six."""
_INDEX: Final = re.compile(r"(?:(?<=\.)|^)\d+(?=\.)|(?<=\[)\d+(?=\])")
"""An index within a name, such as an expert's."""


class MatrixKind(BaseModel):
    """Prunable matrices with the same name pattern and shape."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="name within the block; `*` stands for any index, such as an expert's")
    rows: int = Field(description="number of outputs")
    columns: int = Field(
        description="number of inputs; for experts stacked in one tensor the larger side, unless a worker has checked the model"
    )
    count: int = Field(description="number of such matrices in all blocks")


def kinds_of(matrices: Iterable[tuple[str, int, int, int]]) -> tuple[MatrixKind, ...]:
    """Group matrices by name pattern and shape. Args: name within its block, rows, columns and number of each."""
    counts: Counter[tuple[str, int, int]] = Counter()
    for name, rows, columns, copies in matrices:
        counts[_INDEX.sub("*", name), rows, columns] += copies
    return tuple(MatrixKind(name=name, rows=rows, columns=columns, count=n) for (name, rows, columns), n in counts.items())


class ModelFacts(BaseModel):
    """Structure of a model that was built without weights; sizes are numbers of weights."""

    model_config = ConfigDict(frozen=True)

    parameters: int
    block_parameters: int
    prunable_parameters: int
    blocks: int
    matrices: int
    matrix_kinds: tuple[MatrixKind, ...]
    max_sequence_length: int | None
    vocab_size: int
    dtype: str
    has_head: bool
    encoder_parameters: int = 0
    """Of the models in a composite one that text does not pass; they are never loaded for pruning."""


class ModelCheck(BaseModel):
    """Result of a check: why the worker refuses the model, or its structure."""

    model_config = ConfigDict(frozen=True)

    failure: Failure | None = None
    facts: ModelFacts | None = None


class SparseFile(BaseModel):
    """Size of a file in bytes, and the pieces that were read: offset, and bytes as Latin-1 text."""

    size: int = Field(ge=0)
    pieces: list[tuple[int, str]]


class SparseFiles(BaseModel):
    """Sparse copies of a model's files by name."""

    files: dict[str, SparseFile]

    def packed(self) -> bytes:
        """Return the copies in one compressed message."""
        return zlib.compress(self.model_dump_json().encode(), level=1)

    @classmethod
    def unpacked(cls, message: bytes) -> Self:
        """Return the copies of a message. Raises ValueError."""
        try:
            content = zlib.decompressobj().decompress(message, _MAX_JSON_BYTES)
        except zlib.error as error:
            raise ValueError("not a message of sparse files") from error
        return cls.model_validate_json(content)

    def write(self, folder: Path) -> None:
        """Write the files to an existing folder. Raises ValueError: a name leaves the folder; OSError."""
        for name, copy in self.files.items():
            if Path(name).name != name:
                raise ValueError(f"{name!r} is no name of a file in the folder")
            with (folder / name).open("wb") as file:
                for start, piece in copy.pieces:
                    file.seek(start)
                    file.write(piece.encode("latin-1"))
                file.truncate(copy.size)
