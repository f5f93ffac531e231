"""`If-Match` and `If-None-Match`, against RFC 9110, sections 13.1.1 and 13.1.2; both weak, because proxies weaken tags."""

import pytest

from service.api.job_parameters import is_known, versions_of


@pytest.mark.parametrize("header", [None, "*", " * "])
def test_without_a_condition_any_version_matches(header: str | None) -> None:
    assert versions_of(header) is None


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('W/"3"', {3}),
        ("3", set()),
        ('"x"', set()),
        ("", set()),
        ('W/"3","5"', {3, 5}),
        ('w/"3"', set()),
        ('"99999999999"', set()),
    ],
)
def test_only_tags_of_our_format_match(header: str, versions: set[int]) -> None:
    assert versions_of(header) == frozenset(versions)


@pytest.mark.parametrize("header", ['"3"', 'W/"3"', '"1", "3"', '"1",W/"3" ', "*", " * "])
def test_if_none_match_compares_weakly(header: str) -> None:
    assert is_known(header, 3)


@pytest.mark.parametrize("header", [None, "", "3", '"33"', 'w/"3"', '"1,3"', '"x"', '"*"'])
def test_another_version_never_matches(header: str | None) -> None:
    assert not is_known(header, 3)
