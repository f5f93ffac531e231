"""`If-Match`, against RFC 9110, section 13.1.1."""

import pytest

from service.jobs.parameters import versions_of


@pytest.mark.parametrize("header", [None, "*", " * "])
def test_without_a_condition_any_version_will_do(header: str | None) -> None:
    assert versions_of(header) is None


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('W/"3"', set()),
        ("3", set()),
        ('"x"', set()),
        ("", set()),
        ('W/"3","5"', {5}),
        ('"99999999999"', set()),
    ],
)
def test_only_strong_tags_that_we_could_have_made_match(header: str, versions: set[int]) -> None:
    assert versions_of(header) == frozenset(versions)
