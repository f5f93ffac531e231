"""Pagination of jobs."""

from collections.abc import Iterator
from typing import Any

import httpx


def pages(api: httpx.Client, **params: Any) -> Iterator[list[str]]:
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/v1/jobs", params=params | cursor).json()
        yield [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}
