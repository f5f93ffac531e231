"""What can go wrong between a caller and the service."""

from collections.abc import Mapping
from typing import Any, Final

import httpx


class ClientError(Exception):
    """The base; the message is a sentence for a person."""


class NotConfigured(ClientError):
    """It is not known where the service is, or who asks."""


class Unreachable(ClientError):
    """The service does not answer."""

    def __init__(self, url: str, reason: Exception | str) -> None:
        super().__init__(f"the service at {url} does not answer ({str(reason) or type(reason).__name__})")
        self.__cause__ = reason if isinstance(reason, Exception) else None


class ApiError(ClientError):
    """The service refused: its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        """`urn:dsnot:problem:…`, stable."""
        self.title = str(problem.get("title") or httpx.codes.get_reason_phrase(status))
        self.detail = str(problem.get("detail") or self.title)
        self.errors: list[dict[str, str]] = problem.get("errors") or []
        """For bad input: `pointer` (JSON pointer into the body, or a parameter's name) and `detail` of each."""
        self.retry_after = retry_after
        faults = [f"{error.get('pointer') or 'the body'}: {error.get('detail')}" for error in self.errors]
        super().__init__("\n  ".join([f"{self.title}:", *faults]) if faults else self.detail)


class NotFound(ApiError):
    """There is no such thing, or it is another tenant's."""


class Conflict(ApiError):
    """It is not possible in the state that the thing is in."""


class IdempotencyInFlight(Conflict):
    """A request with the same idempotency key is being carried out at this moment."""


class PreconditionFailed(ApiError):
    """The thing has changed since the version that `if_match` names."""


class InvalidInput(ApiError):
    """The request does not fit; `errors` points at what to change."""


class IdempotencyKeyReused(InvalidInput):
    """The idempotency key belongs to another request."""


class ModelRefused(InvalidInput):
    """The model does not exist, may not be read, is not safe to read, or cannot be pruned; `type` says which."""


class BodyRefused(ApiError):
    """The body is too large, cannot be read, or has the wrong media type."""


class Unauthenticated(ApiError):
    """The API key is missing, wrong, expired or revoked."""


class Forbidden(ApiError):
    """The API key is valid and has not the scope for this."""


class QuotaExceeded(ApiError):
    """The tenant has as much as it may; `retry_after` says when to ask again, if waiting can help."""


class RateLimited(ApiError):
    """The tenant has asked too often; `retry_after` says when it may again."""


class ServiceUnavailable(ApiError):
    """The service, or something it depends on, is away for a while."""


class InternalError(ApiError):
    """Something went wrong on the service's side; the message holds the number under which its log has the reason."""


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
"""The problems that have a class of their own. Any other, of a newer service or a proxy on the way, is a plain ApiError."""


def problem_in(response: httpx.Response) -> ApiError:
    """The error in an answer whose body has been read."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"status {response.status_code} without a problem document; is this really the service?"}
    kind = _BY_TYPE.get(str(problem.get("type")).removeprefix(_PREFIX), ApiError)
    seconds = response.headers.get("Retry-After", "")
    return kind(response.status_code, problem, float(seconds) if seconds.isdigit() else None)


class StoreRefused(ClientError):
    """The artifact store, to which the service had sent us, refused: its address has expired, or the store is in trouble."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the artifact store, to which the service redirects, answered with status {status}")


class DownloadRefused(ClientError):
    """What the service sent is not what its manifest promises, or may not be written where the manifest says."""
