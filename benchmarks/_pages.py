"""Times and sizes of the dashboard's pages, with a list of jobs with results."""

import re
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import httpx

from benchmarks import _rows
from benchmarks._figures import Figure, aiming, latencies, refused
from benchmarks._load import requests
from benchmarks._servers import Servers
from service.database.engine import Database

_JOB_TABS: Final = ("", "/layers", "/samples", "/logs", "/events", "/files", "/config")
_PARTS: Final = re.compile(r"""(?:src|href)="(/static/[^"]+)"|(?:from|import) "\./([^"]+)\"""")


def measure(
    servers: Servers, database: Database, *, jobs: int, sweep: dict[str, Any], count: int, has_layers: bool = False
) -> Iterator[Figure]:
    """Yield the times of each page, and the compressed bytes of a first visit: the page with its scripts and styles.

    `jobs` is the number of jobs that the tables have; without `has_layers`, the newest gets matrices.
    """
    with httpx.Client(base_url=servers.url, headers={"Accept-Encoding": "gzip"}) as visitor:
        key = {"Authorization": f"Bearer {servers.key}"}
        visitor.post("/v1/sweeps", json=sweep, headers=key).raise_for_status()
        newest = visitor.get("/v1/jobs", params={"state": "succeeded", "limit": 6}, headers=key).json()["items"]
        if not has_layers:
            _rows.add_layers(database, UUID(newest[0]["id"]))
        visitor.post("/sign-in", data={"key": servers.key})
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        for path in _paths([job["id"] for job in newest], _rows.sweep_ids(database)[0]):
            request = {"method": "GET", "url": path, "headers": {"Cookie": cookie}}
            try:
                requests(servers, request, 3, 1)
                seconds, _ = requests(servers, request, count, 1)
            except AssertionError:
                yield refused("pages", _name(path))
                continue
            figure = latencies("pages", _name(path), seconds, jobs=jobs, first_visit_bytes=_first_visit(visitor, path))
            yield aiming(figure, p50_ms=300, first_visit_bytes=300_000)


def _paths(jobs: list[str], sweep: Any) -> list[str]:
    tabs = [f"/jobs/{jobs[0]}{tab}" for tab in _JOB_TABS]
    lists = ["/jobs", "/jobs?sort=perplexity", "/jobs?q=team%3Dsea", "/jobs?group=model"]
    model = f"/models/hub/{_rows.BODY['model']['id']}"
    both = "&".join(f"ids={each}" for each in jobs)
    others = [f"/compare?{both}", "/jobs/new", "/sweeps", f"/sweeps/{sweep}", "/sweeps/new", "/models", model, "/datasets"]
    return ["/", *lists, *tabs, *others, "/workers", "/webhooks", "/triggers", "/keys", "/audit", "/docs"]


def _name(path: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(&ids=\S+)?", "ID", path)


def _first_visit(visitor: httpx.Client, path: str) -> int:
    """Return the compressed bytes of the page and of what it loads."""
    seen, waiting, total = set[str](), [path], 0
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        with visitor.stream("GET", here) as answer:
            answer.raise_for_status()
            text = answer.read().decode(errors="replace")
            total += answer.num_bytes_downloaded
        folder = here.rpartition("/")[0]
        waiting += [asset or f"{folder}/{module}" for asset, module in _PARTS.findall(text)]
    return total
