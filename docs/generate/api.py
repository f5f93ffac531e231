"""HTTP API page, from the OpenAPI document of the service."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.tables import field_row, table, type_of
from service.main import create_app
from service.settings import Settings

_HEAD = """\
# HTTP API

Generated from the OpenAPI document, which a running service serves at `/openapi.json` and renders at `/docs`.
[Use the API](../guides/use-the-api.md) explains idempotency, waiting, pagination and errors.

Send `Authorization: Bearer dsnot_<id>_<secret>` with every `/v1` request.
Errors are problem documents (RFC 9457): [ProblemView](#problemview), described in [Errors](errors.md).
"""


def page() -> str:
    """Return the page in Markdown."""
    found = document()
    parts = [_HEAD]
    tag = None
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                parts.append(f"## {tag.capitalize()}\n")
            parts += _operation(method, path, operation)
    parts.append("## Schemas\n")
    for name, schema in sorted(found["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n".join(parts)


def document() -> dict[str, Any]:
    """Return the OpenAPI document of an application that connects to nothing."""
    places = {"database_url": "postgresql://nowhere", "broker_url": "redis://nowhere", "artifact_url": "file:///nowhere"}
    app = create_app(Settings.model_validate({**places, "model_root": "/nowhere", "cache_dir": "/nowhere"}))
    return app.openapi()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}` {{: #{operation['operationId']} }}\n"
    yield f"{operation.get('description', '')}\n"
    scopes = [scope for each in operation.get("security", ()) for scope in each.get("ApiKey", ())]
    if scopes:
        yield f"Scope: {', '.join(f'`{scope}`' for scope in scopes)}.\n"
    parameters = operation.get("parameters", ())
    rows = [field_row(each["name"], each | each["schema"], is_required=each.get("required", False)) for each in parameters]
    places = [each["in"] for each in parameters]
    yield table(
        ["parameter", "in", "type", "description"], [(row[0], place, *row[1:]) for row, place in zip(rows, places, strict=True)]
    )
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{media_type}`: {type_of(content.get('schema', {}))}\n"
    yield table(["status", "meaning", "body"], [_response(*each) for each in sorted(operation["responses"].items())])


def _response(status: str, response: Mapping[str, Any]) -> tuple[str, str, str]:
    bodies = [type_of(content["schema"]) for content in response.get("content", {}).values() if "schema" in content]
    return status, response["description"], " or ".join(dict.fromkeys(bodies))


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if "description" in schema:
        yield f"{schema['description']}\n"
    if "properties" not in schema:
        yield f"{type_of(schema)}\n"
        return
    required = schema.get("required", ())
    rows = [field_row(field, each, is_required=field in required) for field, each in schema["properties"].items()]
    yield table(["field", "type", "description"], rows)
