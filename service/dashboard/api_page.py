"""Page of the HTTP API, rendered from the OpenAPI document; no key required."""

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from markupsafe import Markup

from service.dashboard.rendering import fragment, page

router: Final = APIRouter(include_in_schema=False)

_CODE: Final = Markup("<code>{}</code>")
_LINK: Final = Markup('<a href="#{0}">{0}</a>')


@router.get("/docs")
def show_api(request: Request) -> Response:
    """Show all operations and schemas."""
    return page(request, "api.html", operations=_operations(request.app))


@lru_cache(maxsize=1)
def _operations(app: FastAPI) -> Markup:
    """Return the page's content, which takes 60 ms to render and depends on nothing but the application."""
    document = app.openapi()
    groups, schemas = _groups(document["paths"]), sorted(document["components"]["schemas"].items())
    return fragment("api_operations.html", groups=groups, schemas=schemas, type_of=type_of, dumps=json.dumps)


def _groups(paths: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, Any]]]]:
    """Return method, path and operation by tag."""
    found = [(method.upper(), path, each) for path, methods in paths.items() for method, each in methods.items()]
    return [(tag, list(members)) for tag, members in groupby(found, lambda each: each[2]["tags"][0])]


def type_of(schema: Mapping[str, Any]) -> Markup:
    """Return the type of a JSON schema as HTML, with a link to a referenced schema."""
    if "$ref" in schema:
        return _LINK.format(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return _CODE.format(json.dumps(schema["const"]))
    if "enum" in schema:
        return Markup(", ").join(_CODE.format(each) for each in schema["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return Markup(" or ").join(type_of(each) for each in schema[several])
    kind = schema.get("type", "any")
    if kind == "array":
        return Markup("array of {}").format(type_of(schema.get("items", {})))
    return Markup("{} ({})").format(kind, schema["format"]) if "format" in schema else Markup("{}").format(kind)
