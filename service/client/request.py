"""Parts of requests and responses without I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from service.client.errors import UnexpectedResponse

T = TypeVar("T")
Query = Mapping[str, str | int | Sequence[str]]
TIMEOUT: Final = httpx.Timeout(connect=5, read=60, write=30, pool=5)
PIECE_BYTES: Final = 1 << 18
"""Size of the pieces in which a file is sent."""


def path_to(*steps: str) -> str:
    """Return a path below /v1. Steps are quoted, so that untrusted ones cannot leave it."""
    return "/v1/" + "/".join(quote(step, safe="") for step in steps)


def drop_none(**values: T | None) -> dict[str, T]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def text_of(response: httpx.Response, media_type: str) -> str:
    """Return the text of a response. Raises UnexpectedResponse unless it has this media type."""
    if response.headers.get("Content-Type", "").partition(";")[0] != media_type:
        raise UnexpectedResponse(response)
    return response.text


def list_of(read: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """Return a reader of a list that has one page only."""
    return lambda document: [read(item) for item in document["items"]]


def items_of(response: httpx.Response) -> tuple[list[Any], str | None]:
    """Return the items of a page, and the cursor of the next one."""
    page = response.json()
    return list(page["items"]), page.get("next_cursor")


def headers_of(key: str) -> dict[str, str]:
    """Return the headers of every request."""
    return {"Authorization": f"Bearer {key}", "User-Agent": "dsnot-client"}
