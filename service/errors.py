"""Errors that a caller sees, as RFC 9457 problems. Each subject has its own beside the code that raises them."""

from typing import Any, ClassVar, Final

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:dsnot:problem:"


class Problem(Exception):
    """The base of errors with an HTTP answer. Subclasses set what is stable; the detail says what to do about this one."""

    status: ClassVar[int]
    type: ClassVar[str]
    """Stable, lower case, with hyphens; callers match on it."""
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
        """For bad input: `pointer` (JSON pointer into the body, or the parameter's name) and `detail` of each."""
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {
            "type": f"{_TYPE_PREFIX}{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        return document | ({"errors": self.errors} if self.errors else {})


class NotFound(Problem):
    status, type, title = 404, "not-found", "There is no such thing"


class Conflict(Problem):
    status, type, title = 409, "conflict", "Not possible in this state"


class InvalidInput(Problem):
    status, type, title = 422, "invalid-input", "The request does not fit"


class Later(Problem):
    """The base of problems that pass: asking again is right, and `Retry-After` says when."""

    retry_after: ClassVar[int]
    """Seconds, where whoever raises it does not know better."""

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        seconds = self.retry_after if retry_after is None else retry_after
        super().__init__(detail, headers={"Retry-After": str(seconds)})


class Unavailable(Later):
    """Something we depend on is away."""

    status, type, title, retry_after = 503, "unavailable", "Temporarily unavailable", 2


class MalformedBody(Problem):
    status, type, title = 400, "malformed-body", "The body is not JSON"


class UnsupportedMediaType(Problem):
    status, type, title = 415, "unsupported-media-type", "The body has the wrong media type"
