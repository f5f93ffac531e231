"""`Prefer: wait=n`, against RFC 7240, sections 2 and 4.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web.prefer_wait import wait_seconds


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["wait=10"], 10),
        (["wait=0"], 0),
        (["wait=60"], 60),
        (["wait=61"], 60),
        (["wait=1000000005"], 60),
        (["wait=" + "9" * 5000], 60),
        (["wait=007"], 7),
        (["wait=" + "0" * 5000 + "7"], 7),
        (["WAIT = 10"], 10),
        (['wait="10"'], 10),
        (["wait=10; urgent"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (['handling="a, wait=5", wait=10'], 10),
        (["handling=a; wait=5, wait=10"], 10),
        (["wait=10, wait=20"], 10),
        (["wait=10", "wait=x"], 10),
    ],
)
def test_the_first_wait_is_used_up_to_a_minute(lines: list[str], seconds: int) -> None:
    assert wait_seconds(lines) == seconds


@pytest.mark.parametrize(
    "lines", [[], [""], ["wait"], ["wait="], ["wait=-1"], ["wait=+1"], ["wait=1.5"], ["wait=1e1"], ["wait=²"]]
)
@pytest.mark.parametrize("more", [[], ["wait=5"]])
def test_invalid_preferences_are_ignored(lines: list[str], more: list[str]) -> None:
    first_is_none_at_all = not "".join(lines)
    assert wait_seconds(lines + more) == (5 if more and first_is_none_at_all else None)


@given(st.lists(st.text()))
def test_any_text_is_handled(lines: list[str]) -> None:
    assert wait_seconds(lines) in {None, *range(61)}
