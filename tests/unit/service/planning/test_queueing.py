"""Wait in the queue."""

from hypothesis import given
from hypothesis import strategies as st

from service.planning.queueing import starts_in


def test_the_start_is_unknown_without_workers_or_known_queue() -> None:
    assert starts_in(idle=0, busy=[], ahead=0, mean_seconds=1) is None
    assert starts_in(idle=0, busy=[3.0, None], ahead=0, mean_seconds=1) is None
    assert starts_in(idle=1, busy=[], ahead=1, mean_seconds=None) is None
    assert starts_in(idle=2, busy=[None], ahead=1, mean_seconds=None) == 0


@given(
    st.integers(0, 3), st.lists(st.integers(0, 50), max_size=3), st.integers(0, 12), st.integers(1, 20)
)  # whole seconds, so that time can be walked through
def test_the_queue_estimate_matches_a_simulated_clock(idle: int, busy: list[int], ahead: int, mean: int) -> None:
    workers = [0] * idle + busy
    told = starts_in(idle=idle, busy=[float(seconds) for seconds in busy], ahead=ahead, mean_seconds=float(mean))
    if not workers:
        assert told is None
        return
    waiting, second = ahead, 0
    while True:
        for place, until in enumerate(workers):
            if until <= second:
                if not waiting:
                    assert told == second
                    return
                waiting -= 1
                workers[place] = second + mean
        second += 1
