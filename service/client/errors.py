"""Exceptions of the client."""

from collections.abc import Mapping
from typing import Any, Final

import httpx


class ClientError(Exception):
    """Base class; the message is a sentence for the user."""


class NotConfigured(ClientError):
    """The service's URL or the API key is missing."""


class Unreachable(ClientError):
    """The service does not answer."""

    def __init__(self, url: str, reason: Exception | str) -> None:
        super().__init__(f"the service at {url} does not answer ({str(reason) or type(reason).__name__})")
        self.__cause__ = reason if isinstance(reason, Exception) else None


class ApiError(ClientError):
    """Error response of the service, with its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        """`urn:dsnot:problem:…`, stable."""
        self.title = str(problem.get("title") or httpx.codes.get_reason_phrase(status))
        self.detail = str(problem.get("detail") or self.title)
        self.errors: list[dict[str, str]] = problem.get("errors") or []
        """Invalid fields: each has `pointer` (JSON pointer into the body, or a parameter's name) and `detail`."""
        self.retry_after = retry_after
        faults = [f"{error.get('pointer') or 'the body'}: {error.get('detail')}" for error in self.errors]
        super().__init__("\n  ".join([f"{self.title}:", *faults]) if faults else self.detail)


class NotFound(ApiError):
    """The resource does not exist, or belongs to another tenant."""


class Conflict(ApiError):
    """The operation is not possible in the resource's current state."""


class IdempotencyInFlight(Conflict):
    """Another request with the same idempotency key is in progress."""


class PreconditionFailed(ApiError):
    """The resource has changed since the version in `if_match`."""


class InvalidInput(ApiError):
    """The request is invalid; `errors` points at the fields to change."""


class IdempotencyKeyReused(InvalidInput):
    """The idempotency key was used for a different request."""


class ModelRefused(InvalidInput):
    """The model does not exist, may not be read, is not safe to read, or cannot be pruned; `type` says which."""


class BodyRefused(ApiError):
    """The body is too large, cannot be read, or has the wrong media type."""


class Unauthenticated(ApiError):
    """The API key is missing, wrong, expired or revoked."""


class Forbidden(ApiError):
    """The API key is valid but lacks the required scope."""


class QuotaExceeded(ApiError):
    """A quota of the tenant is exhausted; `retry_after` says when to retry, if waiting can help."""


class RateLimited(ApiError):
    """The tenant's rate limit is exceeded; `retry_after` says when to retry."""


class ServiceUnavailable(ApiError):
    """The service, or one of its dependencies, is temporarily unavailable."""


class InternalError(ApiError):
    """Internal error of the service; the message contains the id under which its log has the reason."""


_PREFIX: Final = "urn:dsnot:problem:"
_BY_TYPE: Final[dict[str, type[ApiError]]] = {
    "not-found": NotFound,
    "conflict": Conflict,
    "idempotency-in-flight": IdempotencyInFlight,
    "precondition-failed": PreconditionFailed,
    "invalid-input": InvalidInput,
    "idempotency-key-reused": IdempotencyKeyReused,
    "model-not-found": ModelRefused,
    "model-access-denied": ModelRefused,
    "model-unsafe": ModelRefused,
    "model-not-allowed": ModelRefused,
    "model-does-not-fit": ModelRefused,
    "architecture-unsupported": ModelRefused,
    "malformed-body": BodyRefused,
    "body-too-large": BodyRefused,
    "unsupported-media-type": BodyRefused,
    "request-timeout": BodyRefused,
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "quota-exceeded": QuotaExceeded,
    "dataset-quota-exceeded": QuotaExceeded,
    "rate-limited": RateLimited,
    "unavailable": ServiceUnavailable,
    "hub-unavailable": ServiceUnavailable,
    "internal": InternalError,
}
"""Exception class of each problem type. Any other type, from a newer service or a proxy, becomes a plain ApiError."""


def problem_in(response: httpx.Response) -> ApiError:
    """Return the error in a response whose body has been read."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"status {response.status_code} without a problem document; check the URL of the service"}
    kind = _BY_TYPE.get(str(problem.get("type")).removeprefix(_PREFIX), ApiError)
    seconds = response.headers.get("Retry-After", "")
    return kind(response.status_code, problem, float(seconds) if seconds.isdigit() else None)


class StoreRefused(ClientError):
    """Error response of the artifact store after a redirect: the presigned URL has expired, or the store is unavailable."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the artifact store, to which the service redirects, answered with status {status}")


class DownloadRefused(ClientError):
    """A download does not match the manifest, or its path in the manifest must not be written."""
