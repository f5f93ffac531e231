"""Which `Range` headers are honoured, against RFC 9110, section 14."""

import pytest

from service.web.byte_ranges import RangeNotSatisfiable, usable_range


@pytest.mark.parametrize(
    "header", ["bytes=0-0", "bytes=0-", "bytes=9-9", "bytes=0-99", "bytes=-1", "bytes=-99", "bytes=0-1,5-6", "bytes=0-1 , -1"]
)
def test_ranges_inside_the_file_are_honoured(header: str) -> None:
    assert usable_range(header, 10)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=x-1",
        "bytes=1",
        "bytes=5-4",
        "items=0-1",
        "bytes=0-1,",
        "bytes=٣-",
        "bytes=0-" + "9" * 19,
    ],
)
def test_invalid_ranges_are_ignored(header: str | None) -> None:
    assert not usable_range(header, 10)


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-1", 0)]
)
def test_ranges_outside_the_file_are_refused_with_its_size(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        usable_range(header, size)
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}
