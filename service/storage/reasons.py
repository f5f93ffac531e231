"""Reasons of artifact store errors in words of our own: the libraries' quote addresses, and the servers' answers."""

import os
import re
from typing import Final

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

_CREDENTIALS: Final = "the store refuses the credentials; check its variables"
_DENIED: Final = "the store denies the request; grant the rights that the documentation lists"
_BY_TEXT: Final = (
    (
        "SignatureDoesNotMatch|InvalidAccessKeyId|InvalidToken|ExpiredToken|AuthenticationFailed|locate credentials|status: 401",
        _CREDENTIALS,
    ),
    ("RequestTimeTooSkewed", "this host's clock differs from the store's; synchronise it"),
    ("NoSuchBucket|ContainerNotFound", "the bucket does not exist; create it, or correct DSNOT_ARTIFACT_URL"),
    ("BareRedirect|PermanentRedirect|AuthorizationHeaderMalformed", "the bucket is in another region; set AWS_REGION"),
    ("status: 403", _DENIED),
    ("status: 507|QuotaExceeded|InsufficientStorage|XMinioStorageFull", "the store is full"),
    ("InvalidCertificate", "the store's certificate is not trusted; add its authority to those of this host"),
    ("InvalidContentType", "store and endpoint do not agree about TLS; the endpoint begins with https:// or http://"),
    ("dns error", "the host name of the endpoint cannot be resolved"),
    ("ConnectionRefused|Could not connect to the endpoint", "nothing accepts connections at the endpoint"),
    ("kind: Timeout|TimedOut|timeout on endpoint", "there was no answer in time"),
    (r"status: 4\d\d", "the store refuses the request; its log has the reason"),
    (r"status: 5\d\d", "the store answers with an error of its own; its log has the reason"),
)
_NUMBER: Final = re.compile(r"\(os error (\d{1,4})\)")
_OTHER: Final = "the connection was broken or refused; the store's log has the reason"


def reason_of(error: BaseException) -> str:
    """Return why a request to the store failed, with the remedy; never words of a library."""
    found = str(error)
    for pattern, reason in _BY_TEXT:
        if re.search(pattern, found):
            return reason
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return _DENIED if isinstance(error, PermissionDeniedError) else _CREDENTIALS
    number = error.errno if isinstance(error, OSError) else None
    if number is None and isinstance(error, BaseError | OSError) and (quoted := _NUMBER.search(found)):
        number = int(quoted[1])
    if number is None:
        return "the file does not exist" if isinstance(error, FileNotFoundError) else _OTHER
    return os.strerror(number)
