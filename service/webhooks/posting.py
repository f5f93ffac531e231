"""Delivery attempt: a POST to a public address with a deadline; redirects are not followed."""

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore

from service.kit.network_errors import reason_of
from service.logging import get_logger
from service.webhooks.targets import GuardedNetwork, TargetRefused, check_url

_READ_BYTES: Final = 4096
_MAX_WAIT_SECONDS: Final = 86_400.0
_MAX_DIGITS: Final = 15
GONE: Final = 410

log = get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """Outcome of an attempt. The response body is not stored, because its content is untrusted."""

    seconds: float
    status: int | None = None
    error: str | None = None
    """Reason of the failure; None on success."""
    wait_seconds: float | None = None
    """Delay requested by `Retry-After`."""


def post(url: str, body: bytes, headers: dict[str, str], *, seconds: float, may_be_local: bool) -> Outcome:
    """Send the message and return the outcome; nothing is ever raised, so that every attempt is logged."""
    began = time.monotonic()
    try:
        target = check_url(url, may_be_local=may_be_local)
        status, wait = _exchange(target, body, headers, seconds, may_be_local)
    except (TargetRefused, httpcore.UnsupportedProtocol) as error:
        return Outcome(time.monotonic() - began, error=f"not sent: {error}")
    except (httpcore.TimeoutException, TimeoutError):
        return Outcome(time.monotonic() - began, error=f"no complete answer within {seconds:g} s")
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        return Outcome(time.monotonic() - began, error=f"no answer: {reason_of(error)}")
    except Exception:
        log.exception("webhook_attempt_failed")
        return Outcome(time.monotonic() - began, error="the attempt failed in this service; its log has the reason")
    return Outcome(time.monotonic() - began, status, _complaint(status), wait)


def _exchange(url: str, body: bytes, headers: dict[str, str], seconds: float, may_be_local: bool) -> tuple[int, float | None]:
    network = GuardedNetwork(seconds=seconds, may_be_local=may_be_local)
    with httpcore.ConnectionPool(network_backend=network, retries=0) as pool:
        sent: list[tuple[bytes | str, bytes | str]] = [*headers.items(), ("Content-Length", str(len(body)))]
        with pool.stream("POST", url, headers=sent, content=body) as response:
            read = 0
            for chunk in response.iter_stream():
                read += len(chunk)
                if read >= _READ_BYTES:
                    break
            asked = {name.lower(): value for name, value in response.headers}.get(b"retry-after")
    return response.status, _wait(asked.decode("latin-1")) if asked else None


def _complaint(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}"


def _wait(retry_after: str) -> float | None:
    """Return the seconds of a `Retry-After` value, a number or a date, at most a day; None if it is malformed."""
    value = retry_after.strip()
    if value.isascii() and value.isdigit():
        return _MAX_WAIT_SECONDS if len(value) > _MAX_DIGITS else min(float(value), _MAX_WAIT_SECONDS)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(seconds, 0.0), _MAX_WAIT_SECONDS)
