"""What can go wrong between a caller and the service."""

from collections.abc import Mapping
from typing import Any

import httpx


class ClientError(Exception):
    """The base; the message is a sentence for a person."""


class NotConfigured(ClientError):
    """It is not known where the service is, or who asks."""


class Unreachable(ClientError):
    """The service does not answer."""

    def __init__(self, url: str, reason: Exception | str) -> None:
        super().__init__(f"the service at {url} does not answer ({str(reason) or type(reason).__name__})")


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

    @classmethod
    def of(cls, response: httpx.Response) -> "ApiError":
        """The error in an answer whose body has been read."""
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict):
            problem = {"detail": f"status {response.status_code} without a problem document; is this really the service?"}
        seconds = response.headers.get("Retry-After", "")
        return cls(response.status_code, problem, float(seconds) if seconds.isdigit() else None)


class StoreRefused(ClientError):
    """The artifact store, to which the service had sent us, refused: its address has expired, or the store is in trouble."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the artifact store, to which the service redirects, answered with status {status}")


class DownloadRefused(ClientError):
    """What the service sent is not what its manifest promises, or may not be written where the manifest says."""
