"""Headers of several subjects: how they are declared in the OpenAPI document, and how they are read."""

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

Headers = dict[str, dict[str, Any]]

LOCATION: Final[Headers] = {"Location": {"schema": {"type": "string"}, "description": "where the new thing is"}}
RETRY_AFTER: Final[Headers] = {
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "for how many seconds to wait before asking again",
    }
}

HeaderText = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A header that may be left out. Unlike a field it is never null, and the document does not say so."""
