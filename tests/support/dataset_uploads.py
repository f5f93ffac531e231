"""Uploading data sets in tests, and looking at what became of them."""

from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from service.database.engine import Database
from service.database.tables.datasets import UploadedDataset
from service.settings import Settings

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
LINES = {"Content-Type": "application/jsonl"}


def upload(api: httpx.Client, content: str = "One.\n\nTwo.\n", **query: Any) -> dict[str, Any]:
    answer = api.post("/v1/datasets", content=content.encode(), headers=TEXT, params=query)
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{made['id']}"
    return made


def stored(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.artifact_url.removeprefix("file://")).rglob("*") if path.is_file()]


def rows(database: Database) -> list[UploadedDataset]:
    with database.begin() as session:
        return list(session.scalars(select(UploadedDataset)))
