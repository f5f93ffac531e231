"""Reader of checkpoint folders in the Hub's layout: safetensors only, no code run, one tensor at a time.

A safetensors file is 8 bytes of length (little endian), a JSON header of that length, and the bytes of the tensors at
the offsets the header gives. Tensors are read, not memory-mapped, so that memory holds only those in use.
Headers are validated before use: the file is untrusted.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.contract import bounded_json
from service.contract.checkpoints import (
    MAX_AXES,
    MAX_COPIES,
    MAX_HEADER_BYTES,
    MAX_INDEX_BYTES,
    MAX_NAME,
    MAX_SHARDS,
    MAX_TENSORS,
)
from worker.engine.errors import ModelUnsafe

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
NUMBERED = "model-00001-of-00001.safetensors"
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "C64": torch.complex64,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
} | dict.fromkeys(("F6_E2M3", "F6_E3M2", "F4"), torch.bits8)
_PACKED_BITS = {"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4}  # bits per element of types that are only copied, as bytes


@dataclass(frozen=True)
class TensorLocation:
    """Location of a tensor: bytes `start` to `end` of the file `shard` in the checkpoint's folder."""

    shard: str
    dtype: torch.dtype
    stored_as: str  # in the words of safetensors: F32, BF16, …
    shape: tuple[int, ...]
    start: int
    end: int


class Checkpoint:
    """Tensors of a checkpoint folder, by name. Opening it reads headers only."""

    def __init__(self, folder: Path) -> None:
        """Read the headers. FileNotFoundError: no such folder or no config. ModelUnsafe: no safetensors, or an invalid header."""
        self.folder = folder
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no model folder {folder.name!r}.")
        self.config: dict[str, Any] = _read_json_object(self.path("config.json"))
        self.index, self.shards = self._list_shards()
        self.tensors: dict[str, TensorLocation] = {}
        self.copies: dict[str, list[TensorLocation]] = {}
        """Equal copies of a tensor in further shards."""
        self._read_headers()

    def _read_headers(self) -> None:
        header_bytes = 0
        for shard in self.shards:
            places, size = _read_header(self.path(shard), MAX_HEADER_BYTES - header_bytes)
            header_bytes += size
            for name, place in places.items():
                if (first := self.tensors.setdefault(name, place)) is not place:
                    self._check_equal(name, first, place)
                    self.copies.setdefault(name, []).append(place)
            if len(self.tensors) > MAX_TENSORS:
                raise ModelUnsafe(f"The model has more than {MAX_TENSORS:,} tensors.")

    @property
    def weight_files(self) -> tuple[str, ...]:
        """Names of the shards and, if there is one, of their index."""
        return (*self.shards, self.index) if self.index else self.shards

    @property
    def first_dtype(self) -> torch.dtype:
        """Dtype that transformers takes if the config has none: of the first floating-point tensor by shard and name."""
        first = sorted((name, place) for name, place in self.tensors.items() if place.shard == min(self.shards))
        return next((each.dtype for _, each in first if each.dtype.is_floating_point and each.dtype.itemsize > 1), torch.float32)

    def path(self, name: str) -> Path:
        """Return the path of a file of this checkpoint. A link must stay inside it (or inside the Hub cache's own folder)."""
        path = self.folder / name
        if not path.is_file():
            raise FileNotFoundError(f"The model has no {name}.")
        if not is_inside(path, self.folder):
            raise ModelUnsafe(f"{name} is a link that leads out of the model's folder.")
        return path

    def read(self, name: str) -> Tensor:
        """Read a tensor in its stored dtype into host memory."""
        place = self.tensors[name]
        return self._read_bytes(name, place).view(place.dtype).reshape(place.shape)

    def _read_bytes(self, name: str, place: TensorLocation) -> Tensor:
        raw = torch.empty(place.end - place.start, dtype=torch.uint8)
        with self.path(place.shard).open("rb", buffering=0) as file:
            file.seek(place.start)
            view = raw.numpy().data
            while view:
                count = file.readinto(view)
                if not count:
                    raise ModelUnsafe(f"{place.shard} ends before the tensor {name} does.")
                view = view[count:]
        return raw

    def _check_equal(self, name: str, one: TensorLocation, other: TensorLocation) -> None:
        if sum(map(len, self.copies.values())) >= MAX_COPIES:
            raise ModelUnsafe(f"More than {MAX_COPIES} tensors are in several shards; remove the copies.")
        is_alike = (one.dtype, one.shape) == (other.dtype, other.shape)
        if not is_alike or not torch.equal(self._read_bytes(name, one), self._read_bytes(name, other)):
            raise ModelUnsafe(f"The tensor {name} is in {one.shard} and differs in {other.shard}; remove one of the two.")

    def expect(self, names: Iterable[str]) -> None:
        """Start asynchronous read-ahead, by the operating system, of tensors that will be read soon."""
        for name in names:
            place = self.tensors[name]
            descriptor = os.open(self.path(place.shard), os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, place.start, place.end - place.start, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)

    def _list_shards(self) -> tuple[str | None, tuple[str, ...]]:
        """Return the name of the index, if there is one, and of the files that transformers loads."""
        named = self.config.get("transformers_weights")
        if named is not None:
            if not _is_plain(named) or not named.endswith((".safetensors", ".safetensors.index.json")):
                raise ModelUnsafe(f"config.json has transformers_weights that are no safetensors of its folder: {_short(named)}.")
            return (named, self._shards_of(named)) if named.endswith(".json") else (None, (named,))
        if (self.folder / INDEX).is_file():
            shards = self._shards_of(INDEX)
            if shards != (SINGLE,) and (self.folder / SINGLE).is_file():
                raise ModelUnsafe(
                    f"The model has {SINGLE} and other weights by {INDEX}; transformers loads the first. Remove one of the two."
                )
            return INDEX, shards
        for name in (SINGLE, NUMBERED):
            if (self.folder / name).is_file():
                return None, (name,)
        raise ModelUnsafe("The model has no safetensors weights; other formats can run code and are not read.")

    def _shards_of(self, index: str) -> tuple[str, ...]:
        weight_map = _read_json_object(self.path(index)).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelUnsafe(f"{index} has no weight_map.")
        shards = list(weight_map.values())
        for shard in shards:
            if isinstance(shard, str) and "/" in shard:
                raise ModelUnsafe(
                    f"{index} names {_short(shard)} in a subfolder; move the shards to config.json and correct the index."
                )
            if not _is_plain(shard) or not shard.endswith(".safetensors"):
                raise ModelUnsafe(f"{index} names a file that is not a plain safetensors name: {_short(shard)}.")
        distinct = tuple(dict.fromkeys(shards))
        if len(distinct) > MAX_SHARDS:
            raise ModelUnsafe(f"{index} names more than {MAX_SHARDS} files; save the model with larger shards.")
        return distinct


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether the path, with links resolved, is in the folder. A Hub snapshot may link to its cache's blobs."""
    home = folder.resolve()
    if home.parent.name == "snapshots":
        home = home.parent.parent
    return path.resolve().is_relative_to(home)


def _is_plain(name: Any) -> bool:
    is_text = isinstance(name, str) and 0 < len(name) <= MAX_NAME
    return is_text and name.isprintable() and not name.startswith(".") and not set(name) & {"/", "\\"}


def _short(value: Any) -> str:
    return repr(value)[:100]


def _read_json_object(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise ModelUnsafe(f"{path.name} is larger than {MAX_INDEX_BYTES >> 20} MiB.")
    try:
        value = bounded_json.loads(path.read_bytes())
    except bounded_json.InvalidJson as error:
        raise ModelUnsafe(f"{path.name} {error}.") from None
    if not isinstance(value, dict):
        raise ModelUnsafe(f"{path.name} must hold a JSON object.")
    return value


def _read_header(path: Path, max_bytes: int) -> tuple[dict[str, TensorLocation], int]:
    """Return the tensors of a shard and the size of its header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ModelUnsafe(f"{path.name} is not a safetensors file: its header does not fit in it.")
        if length > max_bytes:
            raise ModelUnsafe(
                f"The headers of the model's safetensors files are larger than {MAX_HEADER_BYTES >> 20} MiB together."
            )
        try:
            header = bounded_json.loads(file.read(length))
        except bounded_json.InvalidJson as error:
            raise ModelUnsafe(f"{path.name} is not a safetensors file: its header {error}.") from None
    if not isinstance(header, dict):
        raise ModelUnsafe(f"{path.name} has a header that is not a JSON object.")
    header.pop("__metadata__", None)
    places = {name: _read_place(path.name, name, entry, 8 + length) for name, entry in header.items()}
    end = 8 + length
    for place in sorted(places.values(), key=lambda place: (place.start, place.end)):
        if place.start != end:
            raise ModelUnsafe(f"{path.name} has tensors that overlap or leave a gap.")
        end = place.end
    if end != size:
        raise ModelUnsafe(f"{path.name} is {size} bytes long, but its header describes {end}.")
    return places, length


def _read_place(shard: str, name: str, entry: Any, data_start: int) -> TensorLocation:
    if not _is_plain(name):
        raise ModelUnsafe(
            f"{shard} has a tensor whose name is not a plain name of at most {MAX_NAME} characters: {_short(name)}."
        )
    try:
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        start, end = entry["data_offsets"]
        sound = isinstance(shape, list) and len(shape) <= MAX_AXES
        sound = sound and all(type(number) is int and 0 <= number < 1 << 63 for number in (*shape, start, end))
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound or 8 * (end - start) != math.prod(shape) * _PACKED_BITS.get(entry["dtype"], 8 * dtype.itemsize):
        raise ModelUnsafe(f"{shard} has an invalid header entry for the tensor {name}.")
    return TensorLocation(shard, dtype, entry["dtype"], tuple(shape), data_start + start, data_start + end)
