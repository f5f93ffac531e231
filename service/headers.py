"""Headers that answers of several subjects have, as the OpenAPI document declares them."""

from typing import Any, Final

Headers = dict[str, dict[str, Any]]

LOCATION: Final[Headers] = {"Location": {"schema": {"type": "string"}, "description": "where the new thing is"}}
RETRY_AFTER: Final[Headers] = {
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "for how many seconds to wait before asking again",
    }
}
