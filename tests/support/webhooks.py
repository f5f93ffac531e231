"""Webhooks made through the API."""

from typing import Any

import httpx

URL = "https://sink.example/hook"


def create(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", json={"url": URL} | fields)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/webhooks/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


def deliveries(api: httpx.Client, webhook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=query).json()["items"]
    return found
