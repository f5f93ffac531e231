"""Exceptions of the client."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import httpx

from service.kit.network_errors import NO_TLS, UNTRUSTED, reason_of

T = TypeVar("T")

_REMEDIES: Final = {UNTRUSTED: "; SSL_CERT_FILE names other authorities", NO_TLS: "; use http:// if it has none"}


class ClientError(Exception):
    """Base class; the message is a sentence for the user."""


class NotConfigured(ClientError):
    """The service's URL or the API key is missing."""


class InvalidOption(ClientError, ValueError):
    """A keyword of a call is unknown, contradicts another, or is missing."""


class NotMeasured(ClientError, LookupError):
    """The job has not measured what was requested."""


class NotInstalled(ClientError, ImportError):
    """An optional package is missing."""


class Unreachable(ClientError):
    """The service does not answer."""

    def __init__(self, url: str, reason: httpx.RequestError | str) -> None:
        why = reason if isinstance(reason, str) else reason_of(reason)
        super().__init__(f"the service at {url} does not answer ({why}{_REMEDIES.get(why, '')})")
        self.__cause__ = reason if isinstance(reason, Exception) else None


class UnexpectedResponse(ClientError):
    """A successful response that is not one of this version of the service."""

    def __init__(self, response: httpx.Response) -> None:
        media_type = response.headers.get("Content-Type", "").partition(";")[0] or "no media type"
        super().__init__(
            f"{response.url.copy_with(query=None)} answered with {media_type} that is no response of this version of the "
            "service; check the URL of the service, or upgrade the older of service and client"
        )


class ApiError(ClientError):
    """Error response of the service, with its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        """URI reference of the description: `/errors#…`, of services before that `urn:dsnot:problem:…`."""
        self.code = code_of(problem)
        """Stable identifier of the type, such as `not-found`; empty if the answer is no problem document of the service."""
        self.title = str(problem.get("title") or httpx.codes.get_reason_phrase(status))
        self.detail = str(problem.get("detail") or self.title)
        errors = problem.get("errors")
        self.errors: list[dict[str, str]] = (
            [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
        )
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
    """The model does not exist, may not be read, is not safe to read, or cannot be pruned; `code` says which."""


class BodyRefused(ApiError):
    """The body is too large, cannot be read, or has the wrong media type."""


class Unauthenticated(ApiError):
    """The API key is missing, wrong, expired or revoked."""


class Forbidden(ApiError):
    """The API key is valid but lacks the required scope."""


class QuotaExceeded(ApiError):
    """A quota of the tenant is exhausted; `retry_after` says when to retry, if waiting can help."""


class RateLimited(ApiError):
    """The tenant's rate limit, or its share of requests at once, is exceeded; `retry_after` says when to retry."""


class ServiceUnavailable(ApiError):
    """The service, or one of its dependencies, is temporarily unavailable."""


class InternalError(ApiError):
    """Internal error of the service; the message contains the id under which its log has the reason."""


_BY_CODE: Final[dict[str, type[ApiError]]] = {
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
    "share-exceeded": RateLimited,
    "unavailable": ServiceUnavailable,
    "hub-unavailable": ServiceUnavailable,
    "internal": InternalError,
}
"""Exception class of each problem type's code. Any other type, from a newer service or a proxy, becomes a plain ApiError."""

_TYPE: Final = re.compile("(?:.*/errors#|urn:dsnot:problem:)([a-z-]+)")

_NO_ANSWER: Final = ": a proxy in front of the service gets no answer from it; try again later"
_PROXY_REASONS: Final = {
    413: ": a proxy in front of the service limits the size of requests below that of this one; raise its limit",
    502: _NO_ANSWER,
    503: _NO_ANSWER,
    504: _NO_ANSWER,
}


def problem_in(response: httpx.Response) -> ApiError:
    """Return the error in a response whose body has been read."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not {"type", "detail"} & problem.keys():
        reason = _PROXY_REASONS.get(response.status_code, "; check the URL of the service")
        problem = {"detail": f"status {response.status_code} without a problem document{reason}"}
    kind = _BY_CODE.get(code_of(problem), ApiError)
    seconds = response.headers.get("Retry-After", "")
    return kind(response.status_code, problem, float(seconds) if re.fullmatch("[0-9]+", seconds) else None)


def code_of(problem: Mapping[str, Any]) -> str:
    """Return `code` of a problem document, or the one in its `type`, which services before that member have alone.

    The types of a gateway in front of the service give no code.
    """
    code, kind = problem.get("code"), problem.get("type")
    if isinstance(code, str):
        return code
    match = _TYPE.fullmatch(kind) if isinstance(kind, str) else None
    return match[1] if match else ""


def parsed(response: httpx.Response, read: Callable[[], T]) -> T:
    """Return what `read` makes of a response.

    Raises:
        UnexpectedResponse: another service's, or another version's: no JSON, or fields are missing or have other types.
    """
    try:
        return read()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnexpectedResponse(response) from error


class StoreRefused(ClientError):
    """Error response of the artifact store after a redirect: the presigned URL has expired, or the store is unavailable."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the artifact store, to which the service redirects, answered with status {status}")


class DownloadRefused(ClientError):
    """A download does not match the manifest, or its path in the manifest must not be written."""
