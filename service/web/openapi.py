"""OpenAPI document: the framework's output with corrections."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.web.problem_responses import ProblemView


def document_of(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, built once, with the problem document among its schemas."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schema = ProblemView.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas |= schema.pop("$defs")
        schemas["ProblemView"] = schema
        for each in schemas.values():
            for example in [*each.get("examples", ()), *([each["example"]] if "example" in each else ())]:
                _put_nulls_back(example, each, schemas)
        for operations in document["paths"].values():
            for operation in operations.values():
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _not_null(parameter["schema"])
        app.openapi_schema = document
    return app.openapi_schema


def _put_nulls_back(example: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Restore required null fields in examples: the framework drops every null."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for item in example if isinstance(example, list) else ():
        _put_nulls_back(item, schema.get("items", {}), schemas)
    for name, field in schema.get("properties", {}).items() if isinstance(example, dict) else ():
        if name in example:
            _put_nulls_back(example[name], field, schemas)
        elif name in schema.get("required", ()) and {"type": "null"} in field.get("anyOf", ()):
            example[name] = None


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without `null`, which query parameters and headers cannot be."""
    options: list[dict[str, Any]] = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | options[0]
