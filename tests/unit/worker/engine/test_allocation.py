import pytest

from worker.engine.allocation import Allocation, block_sparsities


@pytest.mark.parametrize("allocation", Allocation)
def test_shares_average_to_the_sparsity_asked_for(allocation: Allocation) -> None:
    shares = block_sparsities(allocation, 0.6, 7)
    assert len(shares) == 7
    assert sum(shares) / 7 == pytest.approx(0.6)
    assert all(0 <= share < 1 for share in shares)


def test_uniform_gives_every_block_the_same() -> None:
    assert set(block_sparsities(Allocation.UNIFORM, 0.3, 5)) == {0.3}
