"""The OpenAPI document: what the framework says of the routes, and what it leaves out."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.problems import ProblemView


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once, with the problem document among its schemas."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schema = ProblemView.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas |= schema.pop("$defs")
        schemas["ProblemView"] = schema
        for each in schemas.values():
            _put_nulls_back(each)
        app.openapi_schema = document
    return app.openapi_schema


def _put_nulls_back(schema: dict[str, Any]) -> None:
    """The framework drops whatever is null, out of examples as well, which have to have every required field."""
    for example in [*schema.get("examples", ()), *([schema["example"]] if "example" in schema else ())]:
        for name in schema.get("required", ()):
            if {"type": "null"} in schema["properties"][name].get("anyOf", ()):
                example.setdefault(name, None)
