"""Headers shared by several routes: OpenAPI declarations and types."""

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

Headers = dict[str, dict[str, Any]]

LOCATION: Final[Headers] = {"Location": {"schema": {"type": "string"}, "description": "path of the created object"}}
RETRY_AFTER: Final[Headers] = {
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "seconds to wait before the next attempt",
    }
}

HeaderText = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""Optional header; declared without `null` in the OpenAPI document, because a header cannot be null."""
