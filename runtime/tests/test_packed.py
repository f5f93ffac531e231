"""Packed files and masks of the service, read without it; every tensor has the bits that were packed."""

import hashlib
import json
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import zstandard
from safetensors.torch import save_file

from dsnot_runtime.errors import DamagedFile, NotPacked, PackedFileError, UnsupportedVersion
from dsnot_runtime.packed import Mask, StoredMatrix, read, read_mask
from service.packing import Origin, make_mask, pack

CHUNK = 1 << 18
PRELUDE = struct.Struct("<8sIIQQ32s")
SPECIAL = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), 1e-40, -1e-45]


def pruned(shape: tuple[int, ...], dtype: torch.dtype = torch.bfloat16, zeros: float = 0.6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(shape, generator=generator)
    return weights.masked_fill(torch.rand(shape, generator=generator) < zeros, 0).to(dtype)


def packed(folder: Path, tensors: dict[str, torch.Tensor], name: str = "model") -> Path:
    """A folder with the packed file of these tensors."""
    (folder / "packed").mkdir(exist_ok=True)
    save_file(tensors, folder / f"{name}.safetensors")
    pack(folder / f"{name}.safetensors", folder / "packed" / f"{name}.packed")
    return folder / "packed"


def dense(stored: torch.Tensor | StoredMatrix) -> torch.Tensor:
    """The dense tensor, element by element from the definition of the parts."""
    if isinstance(stored, torch.Tensor):
        return stored
    rows, columns = stored.shape
    kept = (stored.bits[:, :, None] >> torch.arange(64) & 1).bool().view(rows, columns)
    values, starts = stored.values, stored.starts
    assert (stored.bits.dtype, starts.dtype, len(starts)) == (torch.int64, torch.int64, rows + 1)
    assert torch.equal(starts[1:] - starts[:-1], kept.sum(1))
    assert len(values) == starts[-1] + 64
    assert not values[starts[-1] :].any()
    matrix = torch.zeros(rows, columns, dtype=values.dtype)
    for row in range(rows):
        matrix[row, kept[row]] = values[starts[row] : starts[row + 1]]
    return matrix


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(raw(one), raw(other))


def raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("shape", [(5, 64), (1, 128), (3, 4 * CHUNK // 64 * 16), (4097, 64)])
def test_sparse_matrices_are_returned_as_stored(tmp_path: Path, shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = pruned(shape, dtype)
    matrix[0, : len(SPECIAL)] = torch.tensor(SPECIAL).to(dtype)
    ((name, stored),) = read(packed(tmp_path, {"t": matrix}))
    assert isinstance(stored, StoredMatrix)
    assert (name, stored.shape, stored.values.dtype) == ("t", shape, dtype)
    assert same_bits(dense(stored), matrix)


def test_all_other_tensors_are_returned_dense(tmp_path: Path) -> None:
    tensors = {
        "dense": torch.randn(3, 64).bfloat16(),
        "odd width": pruned((7, 65)),
        "chunks": pruned((3, CHUNK - 1)),
        "stack": pruned((2, 3, 64)),
        "norm": torch.ones(100, dtype=torch.float32),
        "sparse norm": pruned((100,)),
        "double": pruned((4, 64), torch.float64),
        "whole": torch.arange(640, dtype=torch.int64).view(10, 64) % 3 - 1,
        "short": torch.arange(640, dtype=torch.int16) % 2,
        "bytes": torch.arange(256, dtype=torch.uint8).repeat(4),
        "boolean": torch.arange(100) % 3 == 0,
        "float8": pruned((8, 64)).to(torch.float8_e4m3fn),
        "complex": torch.randn(3, 3, dtype=torch.complex64),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 64),
        "special": torch.tensor(SPECIAL * 2).bfloat16(),
    }
    found = dict(read(packed(tmp_path, tensors)))
    assert found.keys() == tensors.keys()
    for name, tensor in found.items():
        assert isinstance(tensor, torch.Tensor)
        assert same_bits(tensor, tensors[name]), name


def test_a_matrix_of_zeros_has_no_values(tmp_path: Path) -> None:
    ((_, stored),) = read(packed(tmp_path, {"t": torch.zeros(3, 128).half()}))
    assert isinstance(stored, StoredMatrix)
    assert (len(stored.values), stored.starts.tolist(), stored.bits.tolist()) == (64, [0] * 4, [[0, 0]] * 3)


def test_files_are_read_by_name_and_tensors_in_file_order(tmp_path: Path) -> None:
    packed(tmp_path, {"z": torch.ones(2), "a": torch.ones(3)}, "model-2")
    folder = packed(tmp_path, {"c": torch.ones(4)}, "model-1")
    names = [name for name, _ in read(folder)]
    headers = [header_of(folder / f"model-{number}.packed") for number in (1, 2)]
    assert names == [entry["name"] for header in headers for entry in header["tensors"]]
    assert names[0] == "c"


def header_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    header: dict[str, Any] = json.loads(content[PRELUDE.unpack(content[:64])[3] :])
    return header


def flip(place: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def rewritten(**changes: object) -> Callable[[bytes], bytes]:
    """A file whose first tensor is described differently, with a valid header."""

    def rewrite(content: bytes) -> bytes:
        magic, version, _, start, length, _ = PRELUDE.unpack(content[:64])
        header = json.loads(content[start : start + length])
        header["tensors"][0] |= changes
        text = json.dumps(header).encode()
        return PRELUDE.pack(magic, version, 0, start, len(text), hashlib.sha256(text).digest()) + content[64:start] + text

    return rewrite


DAMAGE: dict[str, tuple[type[PackedFileError], Callable[[bytes], bytes], str]] = {
    "empty": (DamagedFile, lambda _: b"", "is truncated"),
    "cut in the prelude": (DamagedFile, lambda content: content[:20], "is truncated"),
    "never finished": (DamagedFile, lambda content: bytes(64) + content[64:], "is truncated"),
    "cut": (DamagedFile, lambda content: content[:-1], "is truncated"),
    "longer": (DamagedFile, lambda content: content + b"x", "do not match the file"),
    "a bit of the header": (DamagedFile, flip(-9), "SHA-256 of its header"),
    "another format": (NotPacked, lambda _: b"PK\x03\x04" * 99, "name the folder"),
    "version 1": (UnsupportedVersion, lambda content: content[:8] + b"\1" + content[9:], "version 1 instead of 2; restore"),
    "version 3": (UnsupportedVersion, lambda content: content[:8] + b"\3" + content[9:], "version 3 instead of 2; restore"),
    "a type": (UnsupportedVersion, rewritten(dtype="F4"), "t of type F4"),
    "an encoding": (DamagedFile, rewritten(encoding="new"), "the encoding of t is unknown"),
    "a section": (DamagedFile, rewritten(data=[64, 10**9]), "chunks of t are invalid|outside the file|SHA-256"),
    "no section": (DamagedFile, rewritten(data=None), "its header is invalid"),
    "fewer values": (DamagedFile, rewritten(values=9), "the chunks of t are invalid"),
    "more values": (DamagedFile, rewritten(values=10**15), "its header is invalid|the chunks of t are invalid"),
    "a shape": (DamagedFile, rewritten(shape=[2, 64]), "the chunks of t are invalid"),
    "a checksum": (DamagedFile, rewritten(data_sha256="0" * 64), "the SHA-256 of t does not match"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    error, change, message = DAMAGE[damage]
    folder = packed(tmp_path, {"t": pruned((64, 128))})
    path = folder / "model.packed"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(error, match=message) as caught:
        list(read(folder))
    assert str(caught.value).startswith("model.packed ")
    assert str(caught.value).count(". ") == 0


def test_any_changed_byte_of_a_tensor_is_found(tmp_path: Path) -> None:
    folder = packed(tmp_path, {"t": pruned((8, 64)), "u": torch.ones(64)})
    path = folder / "model.packed"
    content = path.read_bytes()
    ranges = [entry["data"] for entry in header_of(path)["tensors"]]
    for place in (place for first, end in ranges for place in range(first, end, 7)):
        path.write_bytes(flip(place)(content))
        with pytest.raises(DamagedFile):
            list(read(folder))


@pytest.mark.parametrize("part", [None, 0, 1, 2])
def test_frames_are_not_decompressed_beyond_the_size_of_their_part(tmp_path: Path, part: int | None) -> None:
    path = packed(tmp_path, {"t": pruned((256, 64))}) / "model.packed"
    kept = 256 * 64 - 8
    parts = [b"\xff" * 2047 + b"\0", bytes(kept), bytes(kept)]
    if part is not None:
        parts[part] = zstandard.compress(bytes(1 << 24))
    chunk = struct.pack("<3I", *map(len, parts)) + b"".join(parts)
    content = path.read_bytes()
    start = PRELUDE.unpack(content[:64])[3]
    place = {"data": [start, start + len(chunk)], "data_sha256": hashlib.sha256(chunk).hexdigest(), "values": kept}
    moved = content[:16] + (start + len(chunk)).to_bytes(8, "little") + content[24:start] + chunk + content[start:]
    path.write_bytes(rewritten(**place)(moved))
    tracemalloc.start()
    with nullcontext() if part is None else pytest.raises(DamagedFile, match="the chunks of t are invalid"):
        list(read(path.parent))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_folder_without_packed_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotPacked, match=r"has no \.packed files; name the folder"):
        list(read(tmp_path))
    with pytest.raises(NotPacked, match=r"has no \.mask files; name the folder"):
        list(read_mask(tmp_path))


@pytest.fixture
def masked(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A folder with a mask, the base's tensors and the pruned ones."""
    base = {"odd": torch.randn(3, 5), "square": torch.randn(64, 64).bfloat16(), "norm": torch.ones(7)}
    after = base | {name: base[name].masked_fill(base[name] > 0.3, 0) for name in ("odd", "square")}
    (tmp_path / "masks").mkdir()
    save_file(base, tmp_path / "base.safetensors")
    save_file(after, tmp_path / "model.safetensors")
    origin = Origin(source="hub", id="organisation/model", revision="abc")
    make_mask(tmp_path / "model.safetensors", tmp_path / "base.safetensors", tmp_path / "masks" / "model.mask", origin=origin)
    return tmp_path / "masks", base, after


def test_masks_hold_bits_and_what_identifies_the_base(
    masked: tuple[Path, dict[str, torch.Tensor], dict[str, torch.Tensor]],
) -> None:
    folder, base, after = masked
    found: dict[str, Mask] = dict(read_mask(folder))
    assert found.keys() == base.keys()
    for name, mask in found.items():
        assert (mask.bits is None) == (name == "norm")
        assert (mask.dtype, mask.shape, mask.base) == (base[name].dtype, base[name].shape, "organisation/model at revision abc")
        assert mask.base_sha256 == hashlib.sha256(raw(base[name]).numpy().tobytes()).hexdigest()
        assert torch.equal(base[name] * mask.kept(), after[name])


def test_a_changed_mask_is_refused(masked: tuple[Path, dict[str, torch.Tensor], dict[str, torch.Tensor]]) -> None:
    path = masked[0] / "model.mask"
    content = path.read_bytes()
    start = next(entry["bits"][0] for entry in header_of(path)["tensors"] if "bits" in entry)
    path.write_bytes(flip(start)(content))
    with pytest.raises(DamagedFile, match=r"the SHA-256 of (odd|square) does not match"):
        list(read_mask(path.parent))
