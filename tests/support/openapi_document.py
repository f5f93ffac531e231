"""The OpenAPI document of a running service, and what its parameters stand for."""

import json
from typing import Any

import httpx

from service.contract.scopes import Scope
from service.contract.states import JobState
from service.database.engine import Database
from tests.support.api_server import BODY, client, insert_job, key_for
from tests.support.dataset_uploads import upload

_documents: dict[str, dict[str, Any]] = {}
"""By the address of the service, which no other ever has."""


def document_of(api: httpx.Client) -> dict[str, Any]:
    if str(api.base_url) not in _documents:
        _documents[str(api.base_url)] = api.get("/openapi.json").json()
    return _documents[str(api.base_url)]


def belongings(database: Database, url: str, tenant: str) -> dict[str, str]:
    """An object of the tenant for each parameter of a path. A new parameter gets a line here."""
    with client(url, key_for(database, Scope.ADMIN, tenant=tenant)) as owner:
        webhook = owner.post("/v1/webhooks", json={"url": "https://sink.example/hook"}).json()["id"]
        trigger = owner.post("/v1/triggers", json={"name": "nightly", "template": BODY}).json()["id"]
        return {
            "job_id": str(insert_job(database, tenant=tenant, state=JobState.SUCCEEDED, artifact_prefix="jobs/x/1")),
            "path": "config.json",
            "webhook_id": webhook,
            "delivery_id": owner.post(f"/v1/webhooks/{webhook}/test").json()["id"],
            "dataset_id": upload(owner, f"A text of {tenant}.")["id"],
            "trigger_id": trigger,
            "sweep_id": owner.post("/v1/sweeps", json={"template": BODY, "axes": {"/recipe/preset": ["fast"]}}).json()["id"],
            "key_id": key_for(database, Scope.JOBS_READ, tenant=tenant).split("_")[1],
            "firing_id": owner.post(f"/v1/triggers/{trigger}/fire", json={"id": "run-1"}).json()["id"],
        }


def body_of(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The first body that the document gives as an example, as arguments of a request."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        named = [option["$ref"] for option in [schema, *schema.get("anyOf", [])] if "$ref" in option]
        schema = document["components"]["schemas"][named[0].rsplit("/", 1)[1]] if named else schema
        examples = [each["value"] for each in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else schema.get("examples", [])
        assert examples, f"give {operation['operationId']} an example of its body in the document"
        text = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0])
        return {"content": text, "headers": {"Content-Type": media_type}}
    return {"headers": {}}
