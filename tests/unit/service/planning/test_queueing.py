"""Wait in the queue."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.jobs.attempts.standings import Standing
from service.planning.queueing import Place, Slot, place

ALONE = Standing("mine", 1, datetime.now(UTC), 0, 1, None, None)


def standing(tenant: str, queued: int, **fields: Any) -> Standing:
    values: dict[str, Any] = {"running": 0, "share": 1, "max_running_jobs": None, "tag": None}
    return Standing(tenant=tenant, queued=queued, since=datetime(2026, 1, 1, tzinfo=UTC), **values | fields)


def idle(count: int) -> list[Slot]:
    return [Slot(0.0, None)] * count


def test_the_start_is_unknown_without_workers_or_known_queue() -> None:
    assert place([ALONE], "mine", 0, [], 1) == Place(0, None)
    assert place([ALONE], "mine", 0, [Slot(3.0, "x"), Slot(None, "x")], 1) == Place(0, None)
    assert place([ALONE], "mine", 1, idle(1), None) == Place(1, None)
    assert place([ALONE], "mine", 0, [*idle(2), Slot(None, "x")], None) == Place(0, 0)


@given(
    st.integers(0, 3), st.lists(st.integers(1, 50), max_size=3), st.integers(0, 12), st.integers(1, 20)
)  # whole seconds, so that time can be walked through
def test_the_queue_estimate_matches_a_simulated_clock(free: int, busy: list[int], ahead: int, mean: int) -> None:
    workers = [0] * free + busy
    slots = [*idle(free), *(Slot(float(seconds), "x") for seconds in busy)]
    told = place([ALONE], "mine", ahead, slots, float(mean))
    assert told.ahead == ahead
    if not workers:
        assert told.starts_in is None
        return
    waiting, second = ahead, 0
    while True:
        for number, until in enumerate(workers):
            if until <= second:
                if not waiting:
                    assert told.starts_in == second
                    return
                waiting -= 1
                workers[number] = second + mean
        second += 1


def test_other_tenants_take_turns_by_their_shares() -> None:
    others = [standing("small", 2), standing("heavy", 50, share=3)]
    places = [place([ALONE, *others], "mine", before, idle(1), 10.0) for before in range(4)]
    assert [each.ahead for each in places] == [2, 7, 11, 15]  # one of each; then 1 + 3 + 1; then 1 + 3, "small" has no more
    assert [each.starts_in for each in places] == [10.0 * each.ahead for each in places]


def test_a_limit_of_running_jobs_delays_the_tenant_and_lets_others_pass() -> None:
    mine = standing("mine", 3, max_running_jobs=1)
    other = standing("other", 2)
    told = [place([mine, other], "mine", before, idle(4), 60.0) for before in range(3)]
    assert [each.starts_in for each in told] == [0.0, 60.0, 120.0]
    assert [each.ahead for each in told] == [0, 3, 4]


def test_a_limit_of_another_tenant_lets_this_one_pass() -> None:
    other = standing("another", 100, max_running_jobs=2, running=1)
    slots = [Slot(30.0, "another"), *idle(3)]
    assert place([standing("mine", 4), other], "mine", 0, slots, 60.0) == Place(0, 0.0)
    assert place([standing("mine", 4), other], "mine", 2, slots, 60.0) == Place(4, 60.0)  # at 30 s it is the other's turn


def test_a_running_job_that_holds_the_limit_has_to_end_first() -> None:
    mine = standing("mine", 1, max_running_jobs=1, running=1)
    assert place([mine], "mine", 0, [Slot(25.0, "mine"), *idle(2)], 60.0) == Place(0, 25.0)


def test_a_tenant_that_may_run_no_job_has_no_start() -> None:
    mine = standing("mine", 1, max_running_jobs=0)
    assert place([mine, standing("other", 1)], "mine", 0, idle(1), 60.0).starts_in is None


@given(st.integers(2001, 30_000), st.integers(1, 20))
def test_a_long_queue_is_estimated_by_its_pace(before: int, workers: int) -> None:
    other = standing("other", 100_000)
    told = place([standing("mine", 1), other], "mine", before, idle(workers), 60.0)
    assert abs(told.ahead - 2 * before) <= 0.01 * told.ahead
    assert told.starts_in is not None
    assert abs(told.starts_in - 60.0 * told.ahead / workers) <= 0.02 * told.starts_in + 60
