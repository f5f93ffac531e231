"""Every variant of the kernels that this processor runs, against dense products in float64 and against PyTorch operations."""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsnot_runtime import kernels, library, portable

VARIANTS = kernels.supported()
TYPES = (torch.bfloat16, torch.float16, torch.float32)
Matrix = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before, threads = kernels.variant(), torch.get_num_threads()
    yield
    kernels.use(before)
    torch.set_num_threads(threads)


@st.composite
def weights(draw: st.DrawFn) -> Tensor:
    """Draw a matrix of any type, density and odd shape, with zeros of both signs."""
    rows = draw(st.sampled_from((0, 1, 2, 3, 17)))
    columns = draw(st.sampled_from((0, 1, 7, 8, 9, 31, 63, 64, 65, 130, 320)))
    density = draw(st.sampled_from((0.0, 0.02, 0.4, 0.5, 0.95, 1.0)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 20)))
    dense = torch.randn(rows, columns, generator=generator) * 2.0 ** draw(st.integers(-12, 6))
    kept = torch.rand(rows, columns, generator=generator) < density
    return (dense * kept).to(draw(st.sampled_from(TYPES)))


def inputs_for(weight: Tensor, number: int) -> Tensor:
    return torch.randn(number, weight.shape[1], generator=torch.Generator().manual_seed(number)).to(weight.dtype)


def product(matrix: Matrix, scales: Tensor | None, inputs: Tensor) -> Tensor:
    out = torch.full((len(inputs), len(matrix[0])), math.nan, dtype=inputs.dtype)
    kernels.matmul(*matrix, scales, inputs, out)
    return out


def dense_of(matrix: Matrix, scales: Tensor | None, columns: int, dtype: torch.dtype) -> Tensor:
    out = torch.full((len(matrix[0]), columns), math.nan, dtype=dtype)
    kernels.unpack(*matrix, scales, out)
    return out


def error_bound(weight: Tensor, inputs: Tensor, exact: Tensor) -> Tensor:
    """Return the largest error of a product: K + 1 roundings of partial sums to float32, one to the type of the output.

    Any order of n additions is off by at most n u / (1 - n u) times the sum of magnitudes, with u = 2^-24. BF16 instructions
    take subnormal numbers for zero, so that each of the K products may lack an input or itself below 2^-126.
    """
    columns = weight.shape[1]
    relative = (columns + 1) * 2.0**-24 / (1 - (columns + 1) * 2.0**-24)
    largest = max(1.0, *(float(part.abs().max()) if part.numel() else 0.0 for part in (weight, inputs)))
    sums = relative * (inputs.double().abs() @ weight.double().abs().T) + columns * largest * 2.0**-126
    info = torch.finfo(inputs.dtype)
    return sums + (exact.abs() + sums) * info.eps / 2 + info.smallest_normal * info.eps


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None)  # no test depends on the speed of the machine
@given(weight=weights())
def test_pack_and_unpack_are_exact_inverses(variant: str, weight: Tensor) -> None:
    kernels.use(variant)
    matrix = kernels.pack(weight)
    for part, reference in zip(matrix, portable.pack(weight), strict=True):
        assert part.dtype == reference.dtype
        assert torch.equal(part, reference)
    rows = len(weight)
    for first, last in ((0, rows), (rows // 3, rows - rows // 3)):
        out = torch.full((last - first, weight.shape[1]), math.nan, dtype=weight.dtype)
        kernels.unpack(*matrix, None, out, first)
        assert torch.equal(out, weight[first:last])
        assert not torch.signbit(out[out == 0]).any()


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None)
@given(weight=weights(), number=st.integers(1, 10))
def test_products_are_within_the_rounding_error_of_float64(variant: str, weight: Tensor, number: int) -> None:
    kernels.use(variant)
    inputs = inputs_for(weight, number)
    exact = inputs.double() @ weight.double().T
    error = (product(kernels.pack(weight), None, inputs).double() - exact).abs()
    assert (error <= error_bound(weight, inputs, exact)).all()


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None)
@given(weight=weights(), number=st.integers(1, 10))
def test_products_with_int8_values_are_within_the_rounding_error_of_float64(variant: str, weight: Tensor, number: int) -> None:
    kernels.use(variant)
    bits, values, starts = kernels.pack(weight)
    steps, scales = kernels.quantize(values, starts)
    whole = dense_of((bits, steps, starts), torch.ones_like(scales), weight.shape[1], torch.float32)
    inputs = inputs_for(weight, number)
    exact = inputs.double() @ whole.double().T * scales
    bound = error_bound(whole, inputs, inputs.double() @ whole.double().T) * scales + exact.abs() * 2.0**-23
    info = torch.finfo(inputs.dtype)
    bound += exact.abs() * info.eps + info.smallest_normal * info.eps
    assert ((product((bits, steps, starts), scales, inputs).double() - exact).abs() <= bound).all()
    assert torch.equal(
        dense_of((bits, steps, starts), scales, weight.shape[1], weight.dtype), (whole * scales[:, None]).to(weight.dtype)
    )


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None)
@given(weight=weights())
def test_quantization_is_symmetric_per_row_and_rounds_half_to_even(variant: str, weight: Tensor) -> None:
    kernels.use(variant)
    _, values, starts = kernels.pack(weight)
    steps, scales = kernels.quantize(values, starts)
    for part, reference in zip((steps, scales), portable.quantize(values, starts), strict=True):
        assert torch.equal(part, reference)
    for row in range(len(weight)):
        kept = values[starts[row] : starts[row + 1]].float()
        scale = kept.abs().max() / 127 if len(kept) else torch.tensor(0.0)
        assert scales[row] == scale
        assert torch.equal(steps[starts[row] : starts[row + 1]].float(), (kept / scale).round())


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "torch"])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_products_depend_neither_on_threads_nor_on_the_other_rows(variant: str, dtype: torch.dtype, int8: bool) -> None:
    kernels.use(variant)
    weight = (torch.randn(700, 190) * (torch.rand(700, 190) < 0.5)).to(dtype)
    matrix, scales = kernels.pack(weight), None
    if int8:
        values, scales = kernels.quantize(matrix[1], matrix[2])
        matrix = (matrix[0], values, matrix[2])
    inputs = torch.randn(17, 190).to(dtype)
    torch.set_num_threads(1)
    alone = torch.cat([product(matrix, scales, inputs[i : i + 1]) for i in range(17)])
    together = product(matrix, scales, inputs) if kernels.has_tiles(dtype) else alone
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        for number in range(1, 18):
            expected = together if number > 3 else alone  # tiles add in another order
            assert torch.equal(product(matrix, scales, inputs[:number]), expected[:number])


@pytest.mark.skipif(not kernels.has_tiles(torch.bfloat16), reason="the processor has no AMX")
@settings(deadline=None)
@given(weight=weights(), number=st.integers(4, 70), int8=st.booleans())
def test_products_by_tiles_are_within_the_rounding_error_of_float64(weight: Tensor, number: int, int8: bool) -> None:
    weight = weight.bfloat16()
    matrix, scales = kernels.pack(weight), None
    if int8:
        values, scales = kernels.quantize(matrix[1], matrix[2])
        matrix = (matrix[0], values, matrix[2])
        weight = dense_of(matrix, scales, weight.shape[1], torch.float32)
    inputs = inputs_for(weight, number).bfloat16()
    exact = inputs.double() @ weight.double().T
    assert bool(((product(matrix, scales, inputs).double() - exact).abs() <= error_bound(weight, inputs, exact)).all())


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "torch"])
def test_packing_does_not_depend_on_threads(variant: str) -> None:
    kernels.use(variant)
    weight = torch.randn(900, 131) * (torch.rand(900, 131) < 0.3)
    torch.set_num_threads(1)
    one = kernels.pack(weight)
    torch.set_num_threads(5)
    assert all(torch.equal(a, b) for a, b in zip(one, kernels.pack(weight), strict=True))
    assert torch.equal(dense_of(one, None, 131, torch.float32), weight)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_padding_is_never_used(variant: str, dtype: torch.dtype) -> None:
    kernels.use(variant)
    weight = (torch.randn(5, 70) * (torch.rand(5, 70) < 0.5)).to(dtype)
    bits, values, starts = kernels.pack(weight)
    inputs = inputs_for(weight, 3)
    expected = product((bits, values, starts), None, inputs)
    assert not values[-kernels.PADDING :].any()
    values[-kernels.PADDING :] = math.nan
    assert torch.equal(product((bits, values, starts), None, inputs), expected)
    assert torch.equal(dense_of((bits, values, starts), None, 70, dtype), weight)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_infinite_and_undefined_inputs_give_what_a_dense_product_gives(variant: str, dtype: torch.dtype) -> None:
    kernels.use(variant)
    weight = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).to(dtype)
    inputs = torch.tensor([[math.inf, 1.0], [math.nan, 1.0]]).to(dtype)
    out = product(kernels.pack(weight), None, inputs)
    assert torch.equal(out[0], torch.tensor([math.inf, math.inf]).to(dtype))
    assert out[1].isnan().all()


def test_an_unknown_variant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"'sse' are unknown or not supported here; choose one of .*torch\."):
        kernels.use("sse")
    monkeypatch.setattr(kernels, "_active", None)
    monkeypatch.setenv("DSNOT_RUNTIME_KERNELS", "sse")
    with pytest.raises(ValueError, match=r"DSNOT_RUNTIME_KERNELS=sse is unknown or not supported here; choose one of .*torch\."):
        kernels.variant()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_environment_selects_a_variant(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_active", None)
    monkeypatch.setenv("DSNOT_RUNTIME_KERNELS", variant)
    assert kernels.features() | {"threads": ""} == {"variant": variant, "why": "chosen by DSNOT_RUNTIME_KERNELS", "threads": ""}


def test_without_a_library_pytorch_operations_are_used_with_one_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DSNOT_RUNTIME_KERNELS", raising=False)
    monkeypatch.setattr(kernels, "_active", None)
    monkeypatch.setattr(library, "PATH", tmp_path / "_kernels.so")
    with pytest.warns(UserWarning, match="install a C compiler or the package ziglang"):
        assert kernels.variant() == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernels.pack(torch.ones(2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.zeros(1, 200)}, "bits of 200 columns"),
        ({"inputs": torch.zeros(1, 64, dtype=torch.float16)}, "do not fit torch.float16"),
        ({"starts": torch.zeros(3, dtype=torch.int64)}, "starts of 3 rows must be 4"),
        ({"scales": torch.ones(3)}, "with int8 values, and with no others"),
        ({"out": torch.zeros(1, 4)}, r"shape \[1, 3\]"),
        ({"inputs": torch.zeros(64, 2).T[:1]}, "must be contiguous and on the CPU"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Tensor], message: str) -> None:
    bits, values, starts = kernels.pack(torch.ones(3, 64))
    parts: dict[str, Any] = {"bits": bits, "values": values, "starts": starts, "scales": None}
    parts |= {"inputs": torch.zeros(1, 64), "out": torch.zeros(1, 3)}
    with pytest.raises(ValueError, match=message):
        kernels.matmul(**(parts | change))
