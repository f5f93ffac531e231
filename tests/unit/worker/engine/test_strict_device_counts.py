"""The simulated CUDA devices count launches, waits, bytes and FLOP by line of code, and predict seconds from stated rates."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.engine import families
from tests.support.strict_device import Cost, Rates, StrictCuda, strict_cuda
from tests.support.tiny_model import save_model
from worker.engine import Recipe, sparsify

HERE = Path(__file__).name
RATES = Rates(launch=1.0, wait=100.0, kernel=10.0, memory=64, pinned=16, pageable=4, half=128, single=2, double=1)


@pytest.fixture
def cuda() -> Iterator[StrictCuda]:
    with strict_cuda(code=(HERE,), rates=RATES) as device:
        yield device


def waiting(x: Tensor) -> float:
    y = x + 1
    return float(y.sum())


def lines_of(cuda: StrictCuda, function: Any) -> dict[int, Cost]:
    """The costs of a function, by line from its first."""
    first = inspect.getsourcelines(function)[1]
    found = {}
    for place, cost in cuda.counts.by_place().items():
        name, _, rest = place.partition(":")
        line, _, where = rest.partition(" ")
        if (name, where) == (HERE, function.__name__):
            found[int(line) - first] = cost
    return found


def test_a_wait_is_counted_on_the_line_that_causes_it(cuda: StrictCuda) -> None:
    x = torch.ones(4, 4, device="cuda")
    assert waiting(x) == 32
    found = lines_of(cuda, waiting)
    assert {line: (cost.launches, cost.waits) for line, cost in found.items()} == {1: (1, 0), 2: (1, 1)}


def test_costs_outside_the_counted_files_are_elsewhere() -> None:
    with strict_cuda(code=("no such file",)) as cuda:
        torch.ones(4, device="cuda")
    assert set(cuda.counts.by_place()) == {"elsewhere"}


@pytest.mark.parametrize(("is_pinned", "seconds"), [(False, 64 / 4), (True, 10.0)])
def test_a_copy_costs_its_bytes_at_the_rate_of_its_memory(cuda: StrictCuda, is_pinned: bool, seconds: float) -> None:
    torch.ones(4, 4, pin_memory=is_pinned).to("cuda", non_blocking=True)
    total = cuda.counts.total
    assert (total.bus_bytes, total.bus_seconds, total.waits, total.memory_bytes) == (64, seconds, 0, 0)


def test_a_blocking_copy_makes_the_host_wait(cuda: StrictCuda) -> None:
    torch.ones(4, 4, device="cuda").cpu()
    assert (cuda.counts.total.bus_bytes, cuda.counts.waits) == (64, {"copy": 1})


def test_launches_of_a_known_sequence(cuda: StrictCuda) -> None:
    x = torch.empty(4, 4, device="cuda")
    y = (x @ x).t()[1:]
    y.sort(dim=1)
    y.masked_fill_(y > 0, 1)
    y[y > 0]
    assert cuda.counts.launches == {"mm": 1, "sort": 3, "gt": 2, "masked_fill": 1, "nonzero": 3, "index": 1}
    assert cuda.counts.waits == {"index": 1}


@pytest.mark.parametrize(
    ("dtype", "seconds"), [(torch.float32, 128 / 2), (torch.float64, 128 / 1), (torch.bfloat16, 10.0)], ids=str
)
def test_a_product_costs_its_flop_at_the_rate_of_its_type(cuda: StrictCuda, dtype: torch.dtype, seconds: float) -> None:
    x = torch.empty(4, 4, device="cuda", dtype=dtype)
    x @ x
    total = cuda.counts.total
    assert (total.flop, total.memory_bytes, total.device_seconds) == (2 * 4**3, 3 * x.nbytes, seconds)


def moved(cuda: StrictCuda) -> int:
    size = cuda.counts.total.memory_bytes
    cuda.counts.clear()
    return size


def test_bytes_are_those_that_kernels_touch(cuda: StrictCuda) -> None:
    x, row = (torch.empty(rows, 4, device="cuda") for rows in (100, 1))
    index = torch.zeros(2, dtype=torch.int64, device="cuda")
    moved(cuda)
    x + row.expand(100, 4)
    assert moved(cuda) == 1600 + 16 + 1600
    x.index_select(0, index)
    assert moved(cuda) == 16 + 2 * 32
    torch.add(x, 1, out=x)
    assert moved(cuda) == 1600 + 1600
    x.zero_()
    assert moved(cuda) == 1600
    x.index_copy_(0, index, row.expand(2, 4))
    assert moved(cuda) == 2 * (16 + 16)


def test_the_host_is_ahead_of_the_device_until_it_waits(cuda: StrictCuda) -> None:
    x = torch.empty(4, 4, device="cuda")
    for _ in range(3):
        x + 1
    assert (cuda.counts.host, cuda.counts.device) == (3.0, 1 + 3 * 10.0)
    torch.cuda.synchronize()
    assert cuda.counts.host == cuda.counts.seconds == 31 + 100.0
    x + 1
    assert cuda.counts.device == 132 + 10.0


def test_without_numbers_shapes_of_any_size_take_no_time() -> None:
    with strict_cuda(numbers=False, memory=1 << 50) as cuda:
        x = torch.ones(10**6, 10**6, device="cuda")
        assert (x @ x.to("cuda", torch.float32)).shape == x.shape
        assert cuda.counts.total.flop == 2e18
        assert cuda.memory.peak[0] == 2 * 4 * 10**12
        assert bool((x > 0).all())
        assert bool(x.amin().isfinite() & x.amax().isfinite())
        assert not bool((x > 0).any())
        assert float(x.sum()) == 0
        assert x.nonzero().shape == (0, 2)
        assert x[x > 0].shape == (0,)
        assert torch.equal(x[:2, :2].cpu(), torch.zeros(2, 2))


@pytest.mark.parametrize("recipe", [{"preset": "dsnot-paper"}, {"preset": "best"}], ids=str)
def test_without_numbers_the_engine_costs_the_same(tmp_path: Path, recipe: dict[str, Any]) -> None:
    source, costs, peaks = save_model(tmp_path / "model", layers=1, width=16), [], []
    for numbers in (True, False):
        with strict_cuda(numbers=numbers) as cuda:
            target = tmp_path / str(numbers)
            sparsify(source, target, Recipe.from_dict(recipe), families.tokens(samples=3, length=8), device="cuda")
        costs.append(cuda.counts.total)
        peaks.append(cuda.memory.peak)
    with_numbers, without = costs
    assert without.launches == pytest.approx(with_numbers.launches, abs=3), "but for a comparison that finds equal tensors"
    assert (without.flop, without.bus_bytes) == (with_numbers.flop, with_numbers.bus_bytes)
    assert peaks[1] == pytest.approx(peaks[0], rel=0.02)
