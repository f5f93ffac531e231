"""Base classes of RFC 9457 problem documents. Each subject defines its own next to the code that raises them."""

from typing import Any, ClassVar, Final

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
TYPE_PAGE: Final = "/errors"
"""Path of the page with a section for each problem type; `type` is its URI reference with the fragment."""


class Problem(Exception):
    """Base class of errors with an HTTP response. Subclasses set status, type and title; `detail` says what to do."""

    status: ClassVar[int]
    type: ClassVar[str]
    """Stable identifier in lower case with hyphens: `code` of the document and fragment of its `type`; callers match on it."""
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        """For invalid input: `pointer` (JSON pointer into the body, or the parameter's name) and `detail` of each error."""
        self.headers = headers or {}

    def body(self, prefix: str = "") -> dict[str, Any]:
        """Return the problem document; `prefix` is the path prefix under which the client sees the service."""
        document: dict[str, Any] = {
            "type": f"{prefix}{TYPE_PAGE}#{self.type}",
            "code": str(self.type),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return document | ({"errors": self.errors} if self.errors else {})


class NotFound(Problem):
    """Problem 404: the object does not exist, or belongs to another tenant."""

    status, type, title = 404, "not-found", "Not found"


class Conflict(Problem):
    """Problem 409: the object's state does not allow the operation."""

    status, type, title = 409, "conflict", "Not possible in this state"


class InvalidInput(Problem):
    """Problem 422: body or parameters fail validation."""

    status, type, title = 422, "invalid-input", "Validation failed"


class Later(Problem):
    """Base class of transient problems: the caller should retry after `Retry-After` seconds."""

    retry_after: ClassVar[int]
    """Default of `Retry-After` in seconds."""

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        seconds = self.retry_after if retry_after is None else retry_after
        super().__init__(detail, headers={"Retry-After": str(seconds)})


class Unavailable(Later):
    """Problem 503: a dependency does not answer."""

    status, type, title, retry_after = 503, "unavailable", "Temporarily unavailable", 2


class MalformedBody(Problem):
    """Problem 400: the body cannot be parsed."""

    status, type, title = 400, "malformed-body", "Malformed body"


class UnsupportedMediaType(Problem):
    """Problem 415: the body's media type is not accepted here."""

    status, type, title = 415, "unsupported-media-type", "Unsupported media type"
