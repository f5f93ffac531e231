"""Pools of slots: no tenant takes them all, and every release counts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tenants.shares import Pool, PoolFull, ShareExceeded
from tests.support.waiting import CEILING_SECONDS


def taken(pool: Pool, tenant: str) -> int:
    """Take slots until the pool refuses, and return their number."""
    count = 0
    while True:
        try:
            pool.acquire(tenant)
        except (ShareExceeded, PoolFull):
            return count
        count += 1


@pytest.mark.parametrize(("slots", "alone"), [(1, 1), (2, 1), (3, 2), (8, 4), (1000, 500)])
def test_a_tenant_alone_gets_half_of_the_slots(slots: int, alone: int) -> None:
    assert taken(Pool("slots", slots), "acme") == alone


@given(slots=st.integers(1, 40), wishes=st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=80))
def test_another_tenant_finds_a_slot_while_any_is_free(slots: int, wishes: list[tuple[str, bool]]) -> None:
    pool, held = Pool("slots", slots), dict.fromkeys("abcd", 0)
    for tenant, gives_back in wishes:
        free = slots - sum(held.values())
        if gives_back and held[tenant]:
            pool.release(tenant)
            held[tenant] -= 1
        elif held[tenant] < free:
            pool.acquire(tenant)
            held[tenant] += 1
        else:
            with pytest.raises(ShareExceeded if free else PoolFull):
                pool.acquire(tenant)
    if sum(held.values()) < slots:
        pool.acquire("newcomer")


def test_a_waiting_tenant_gets_the_slot_that_is_given_back() -> None:
    pool = Pool("slots", 1)
    with ThreadPoolExecutor(1) as threads:
        with pool.hold("acme"):
            waiting = threads.submit(pool.acquire, "other", seconds=CEILING_SECONDS)
            assert not waiting.done()
        waiting.result(CEILING_SECONDS)
    with pytest.raises(PoolFull):
        pool.acquire("acme")
