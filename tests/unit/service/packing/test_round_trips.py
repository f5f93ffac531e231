"""What is packed or masked comes back bit for bit."""

import json
import re
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from service.packing import KeptWeightChanged, Origin, apply_mask, make_mask, pack, packed_bytes, unpack, verify
from service.packing.container import opened
from service.packing.header import Planes
from service.packing.shards import CHUNK
from tests.support.packed_v1 import pack_v1
from tests.support.shard_files import (
    NAN,
    NEGATIVE_ZERO,
    ONE,
    WIDTHS,
    ZERO,
    Stored,
    bfloat16,
    pruned,
    random_bits,
    write,
)

ORIGIN = Origin(source="hub", id="organisation/model", revision="ab" * 20)
SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)
TENSORS = st.lists(st.tuples(st.sampled_from(sorted(WIDTHS)), SHAPES, st.sampled_from([0, 0.4, 0.6, 0.97, 1])), max_size=5)
SPECIFICATION = Path(__file__).parents[4] / "docs" / "reference" / "packed-format.md"
MARGIN = CHUNK - 3
"""Elements, so that a tensor of one more than a chunk and one of one less are near."""


def round_trip(tensors: dict[str, Stored], folder: Path) -> tuple[bytes, bytes]:
    source = write(folder / "model.safetensors", tensors, padding=3)
    pack(source, folder / "packed" / "model.packed")
    unpack(folder / "packed")
    return source.read_bytes(), (folder / "packed" / "model.safetensors").read_bytes()


@given(TENSORS)
@example([("BF16", (MARGIN,), 0.6), ("U8", (), 0), ("BF16", (MARGIN + 7,), 0.6), ("F32", (0, 4), 0)])
def test_any_safetensors_file_comes_back_byte_for_byte(chosen: list[tuple[str, tuple[int, ...], float]]) -> None:
    tensors = {f"t{n}": random_bits(dtype, shape, zeros=zeros, seed=n) for n, (dtype, shape, zeros) in enumerate(chosen)}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "packed").mkdir()
        before, after = round_trip(tensors, Path(folder))
    assert after == before


@given(TENSORS, st.sampled_from([0, 0.5, 1]))
@example([("BF16", (MARGIN + 7,), 0.1), ("F64", (3, 3), 0)], 0.6)
def test_a_mask_and_its_base_give_the_pruned_model(chosen: list[tuple[str, tuple[int, ...], float]], share: float) -> None:
    base = {f"t{n}": random_bits(dtype, shape, zeros=zeros, seed=n) for n, (dtype, shape, zeros) in enumerate(chosen)}
    base["kept"] = random_bits("BF16", (5, 5), zeros=0.1)
    after = {name: tensor if name == "kept" else pruned(tensor, share=share) for name, tensor in base.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "artifact").mkdir()
        dense = write(folder / "model.safetensors", after)
        source = write(folder / "base" / "model.safetensors", base)
        make_mask(dense, source, folder / "artifact" / "model.mask", origin=ORIGIN)
        apply_mask(folder / "artifact", folder / "base", folder / "made")
        assert (folder / "made" / "model.safetensors").read_bytes() == dense.read_bytes()


def test_no_tensor_is_held_in_memory_completely(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    source = write(tmp_path / "model.safetensors", {"t": random_bits("BF16", (4096, 4096), zeros=0.6)})
    tracemalloc.start()
    pack(source, tmp_path / "packed" / "model.packed")
    unpack(tmp_path / "packed")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000 < source.stat().st_size / 4


def test_only_elements_with_no_bit_set_are_omitted(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    sparse = bfloat16([ZERO, NEGATIVE_ZERO, ZERO, ZERO, NAN, ZERO, ZERO, ONE] * 8)
    before, after = round_trip({"t": sparse}, tmp_path)
    assert after == before
    with opened(tmp_path / "packed" / "model.packed") as container:
        (entry,) = container.header.tensors
        assert isinstance(entry, Planes)
        assert entry.values == 3 * 8
        chunk = container.read(entry.data)
    sizes = np.frombuffer(chunk[:12], dtype="<u4").tolist()
    ends = [12 + sum(sizes[: n + 1]) for n in range(3)]
    parts = [chunk[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    mask, exponents, mantissas = (
        part if len(part) == size else zstandard.decompress(part) for part, size in zip(parts, (8, 24, 24), strict=True)
    )
    assert ends[-1] == len(chunk)
    assert mask == bytes([0b10010010] * 8)  # element i is bit i % 8 of byte i // 8
    assert exponents == bytes([0x00, 0xFF, 0x7F] * 8)  # of -0.0, NaN and one
    assert mantissas == bytes([0x01, 0x82, 0x00] * 8)  # and the sign as the lowest bit


def test_the_decoder_of_the_specification_reads_what_is_written(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", SPECIFICATION.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"np": np, "zstandard": zstandard}
    exec(code, names)  # noqa: S102
    _, sparse = normal((3, 777), torch.bfloat16, 0.6, seed=0)
    dense, _ = normal((1, 777), torch.bfloat16, 0, seed=1)
    save_file({"sparse": sparse, "dense": dense}, tmp_path / "model.safetensors")
    pack(tmp_path / "model.safetensors", tmp_path / "model.packed")
    with opened(tmp_path / "model.packed") as container:
        for entry in container.header.tensors:
            assert isinstance(entry, Planes)
            expected = {"sparse": sparse, "dense": dense}[entry.name]
            found = names["decode"](container.read(entry.data), expected.numel(), entry.values < expected.numel())
            assert found.tobytes() == expected.view(torch.uint16).numpy().tobytes()


SPECIAL = [
    *(ZERO, NEGATIVE_ZERO, NAN, ONE, 0xFFC1, 0x7F80, 0xFF80, 0x0001, 0x8001, 0x007F, 0x7F7F, 0xFFFF, 0x7F81, 0x00FF, 0x0100),
]
"""Zeros, NaN payloads, infinities, subnormal and largest values as bfloat16; other bits as float16."""


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "F8_E4M3"])
@pytest.mark.parametrize("zeros", [0, 5])
@pytest.mark.parametrize("count", [1, 63, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_every_bit_pattern_survives_at_the_borders_of_chunks(tmp_path: Path, dtype: str, zeros: int, count: int) -> None:
    (tmp_path / "packed").mkdir()
    bits = np.resize(np.array(SPECIAL + [ZERO] * zeros * len(SPECIAL), dtype="<u8"), count)
    bits <<= 8 * max(0, WIDTHS[dtype] - 2)
    before, after = round_trip({"t": (dtype, (count,), bits.astype(f"<u{WIDTHS[dtype]}").tobytes())}, tmp_path)
    assert after == before


@given(TENSORS)
@example([("BF16", (MARGIN,), 0.6), ("U8", (), 0), ("BF16", (MARGIN + 7,), 0.6), ("F32", (0, 4), 0)])
def test_files_of_version_1_are_still_read(chosen: list[tuple[str, tuple[int, ...], float]]) -> None:
    tensors = {f"t{n}": random_bits(dtype, shape, zeros=zeros, seed=n) for n, (dtype, shape, zeros) in enumerate(chosen)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write(folder / "model.safetensors", tensors)
        pack_v1(source, tensors, folder / "packed" / "model.packed")
        assert verify(folder / "packed").faults == []
        unpack(folder / "packed")
        assert (folder / "packed" / "model.safetensors").read_bytes() == source.read_bytes()


def test_kept_negative_zeros_survive_a_mask_pruned_ones_do_not(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    base = write(tmp_path / "base" / "model.safetensors", {"t": bfloat16([NEGATIVE_ZERO, NEGATIVE_ZERO, ZERO, NAN])})
    dense = write(tmp_path / "model.safetensors", {"t": bfloat16([NEGATIVE_ZERO, ZERO, ZERO, NAN])})
    make_mask(dense, base, tmp_path / "artifact" / "model.mask", origin=ORIGIN)
    apply_mask(tmp_path / "artifact", tmp_path / "base", tmp_path / "made")
    assert (tmp_path / "made" / "model.safetensors").read_bytes() == dense.read_bytes()


def test_a_mask_of_updated_weights_is_refused(tmp_path: Path) -> None:
    base = write(tmp_path / "base" / "model.safetensors", {"t": bfloat16([ONE, ONE, ZERO])})
    dense = write(tmp_path / "model.safetensors", {"t": bfloat16([ZERO, ONE, ONE])})
    with pytest.raises(KeptWeightChanged, match="keeps weights of t that differ"):
        make_mask(dense, base, tmp_path / "model.mask", origin=ORIGIN)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "model.safetensors"}


def test_types_with_partial_byte_elements_are_stored_unpacked(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    before, after = round_trip({"t": ("F4", (16,), bytes(8)), "u": bfloat16([ZERO] * 64)}, tmp_path)
    assert after == before


def test_incompressible_tensors_grow_by_the_heads_of_chunks_only(tmp_path: Path) -> None:
    dense = random_bits("BF16", (64, 64), zeros=0.01)
    source = write(tmp_path / "model.safetensors", {"t": dense})
    pack(source, tmp_path / "model.packed")
    size = (tmp_path / "model.packed").stat().st_size
    assert source.stat().st_size < size < source.stat().st_size + 1000


def normal(shape: tuple[int, ...], dtype: torch.dtype, zeros: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights as training leaves them, and with the smallest ones zero."""
    base = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).div(64)
    pruned = base.masked_fill(base.abs() < base.abs().flatten().kthvalue(max(1, round(zeros * base.numel()))).values, 0)
    return base.to(dtype), pruned.to(dtype)


@pytest.mark.parametrize(
    ("dtype", "zeros", "limit"),
    [
        *((torch.bfloat16, 0, 0.67), (torch.bfloat16, 0.5, 0.38), (torch.bfloat16, 0.6, 0.32), (torch.bfloat16, 0.7, 0.25)),
        *((torch.float16, 0, 0.85), (torch.float16, 0.6, 0.36), (torch.float32, 0, 0.84), (torch.float32, 0.6, 0.36)),
    ],
)
def test_sizes_of_normal_weights_stay_below_the_documented_ones(
    tmp_path: Path, dtype: torch.dtype, zeros: float, limit: float
) -> None:
    pairs = {f"t{n}": normal((512, 512), dtype, zeros, seed=n) for n in range(2)}
    (tmp_path / "base").mkdir()
    source, dense = tmp_path / "base" / "model.safetensors", tmp_path / "model.safetensors"
    save_file({name: base for name, (base, _) in pairs.items()}, source)
    save_file({name: pruned for name, (_, pruned) in pairs.items()}, dense)
    pack(dense, tmp_path / "model.packed")
    make_mask(dense, source, tmp_path / "model.mask", origin=ORIGIN)
    size = dense.stat().st_size
    assert limit - 0.03 < (tmp_path / "model.packed").stat().st_size / size <= limit
    assert packed_bytes(dense) == pytest.approx((tmp_path / "model.packed").stat().st_size, rel=0.005)
    if zeros:
        assert (tmp_path / "model.mask").stat().st_size / size == pytest.approx(1 / (8 * dtype.itemsize), abs=0.003)


def test_the_packed_size_can_be_measured_on_some_chunks(tmp_path: Path) -> None:
    _, pruned = normal((8, CHUNK), torch.bfloat16, 0.6, seed=0)
    save_file({"t": pruned, "empty": pruned[:0], "small": pruned[0, :9].clone()}, tmp_path / "model.safetensors")
    whole = packed_bytes(tmp_path / "model.safetensors")
    assert packed_bytes(tmp_path / "model.safetensors", every=4) == pytest.approx(whole, rel=0.01)


def test_a_base_may_be_sharded_differently_from_the_masks_source(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    base = {name: torch.randn(8, 8).bfloat16() for name in ("a", "b")}
    after = {name: tensor.masked_fill(tensor > 0, 0) for name, tensor in base.items()}
    (tmp_path / "split").mkdir()
    save_file(base, tmp_path / "base.safetensors")
    save_file(after, tmp_path / "model.safetensors")
    for name, tensor in base.items():
        save_file({name: tensor}, tmp_path / "split" / f"model-{name}.safetensors")
    make_mask(tmp_path / "model.safetensors", tmp_path / "base.safetensors", tmp_path / "artifact" / "model.mask", origin=ORIGIN)
    apply_mask(tmp_path / "artifact", tmp_path / "split", tmp_path / "made")
    made = load_file(tmp_path / "made" / "model.safetensors")
    assert all(torch.equal(made[name], tensor) for name, tensor in after.items())


def test_a_mask_names_the_base_and_holds_no_weights(tmp_path: Path) -> None:
    base = {"t": random_bits("F32", (64, 64), zeros=0), "u": random_bits("F32", (64, 64), zeros=0, seed=1)}
    source = write(tmp_path / "base" / "model.safetensors", base)
    dense = write(tmp_path / "model.safetensors", base | {"t": pruned(base["t"], share=0.5)})
    make_mask(dense, source, tmp_path / "model.mask", origin=ORIGIN)
    content = (tmp_path / "model.mask").read_bytes()
    header = json.loads(content[content.rindex(b'{"kind"') :])
    assert (header["base"]["id"], header["base"]["revision"]) == (ORIGIN.id, ORIGIN.revision)
    assert [tensor["encoding"] for tensor in header["tensors"]] == ["masked", "unchanged"]
    assert len(content) < 4096 / 8 + 3000


def test_companions_in_subfolders_are_copied_with_their_weights(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    write(folder / "model.safetensors", {"t": random_bits("BF16", (8, 8), zeros=0.5)})
    module = write(folder / "2_Dense" / "model.safetensors", {"linear.weight": random_bits("F32", (2, 2), zeros=0)})
    pack(folder / "model.safetensors", folder / "model.packed")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  2_Dense/model.safetensors\n{'0' * 64}  model.packed\n")
    unpack(folder, tmp_path / "made")
    assert (tmp_path / "made" / "2_Dense" / "model.safetensors").read_bytes() == module.read_bytes()
    listed = [line.split()[1] for line in (tmp_path / "made" / "SHA256SUMS").read_text().splitlines()]
    assert listed == ["2_Dense/model.safetensors", "model.safetensors"]
