"""Triggers made and fired through the API."""

from typing import Any

import httpx

TEMPLATE: dict[str, Any] = {"model": {"id": "${{ data.model }}"}, "labels": {"kind": "${{ event.kind }}"}}


def create(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = api.post("/v1/triggers", json={"name": "t", "template": TEMPLATE} | fields)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/triggers/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


def fire(api: httpx.Client, trigger: dict[str, Any], event: Any, **query: Any) -> httpx.Response:
    return api.post(f"/v1/triggers/{trigger['id']}/fire", json=event, params=query)


def jobs(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/v1/jobs").json()["items"]
    return found
