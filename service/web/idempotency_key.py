"""Header `Idempotency-Key`: a string as in draft-ietf-httpapi-idempotency-key-header, or a bare word."""

import json
import re
from typing import Annotated, Final

from fastapi import Depends, Header, Request
from pydantic import AfterValidator, WithJsonSchema

from service.errors import InvalidInput
from service.idempotency.operations import HEADER, KeyedRequest, fingerprint

_BARE: Final = r"[!#-~](?:[ -~]{0,253}[!-~])?"
_QUOTED: Final = r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"'
_PATTERN: Final = f"^(?:{_BARE}|{_QUOTED})$"
_MISTAKE: Final = "must be 1 to 255 printable ASCII characters, with or without double quotes"
_TEXT: Final = """\
Makes retries safe: a request with the same key is processed once, and repetitions within 24 hours return the first response, with
`Idempotency-Replayed: true`. The key has 1 to 255 printable ASCII characters, with or without double quotes; use a UUID. With a
different body the key is rejected (422, `idempotency-key-reused`), as it is while the first request is in progress (409,
`idempotency-in-flight`). Only successful requests are stored: a rejected one can be corrected and sent with the same key."""


def key_of(value: str) -> str:
    """Return the key of a header value; quoted and unquoted forms are equal.

    Raises:
        ValueError: the value is malformed.
    """
    if not re.fullmatch(_PATTERN, value):
        raise ValueError(_MISTAKE)
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


OptionalKey = Annotated[
    Annotated[str, AfterValidator(key_of)] | None,
    WithJsonSchema({"type": "string", "pattern": _PATTERN}),
    Header(alias=HEADER, description=_TEXT),
]
"""Key alone, for routes whose body is not JSON."""


async def _keyed(request: Request, idempotency_key: OptionalKey = None) -> KeyedRequest | None:
    if idempotency_key is None:
        return None
    if len(request.headers.getlist(HEADER)) > 1:
        detail = "must be sent once"
        raise InvalidInput(f"{HEADER} {detail}", errors=[{"pointer": HEADER, "detail": detail}])
    body = json.dumps(json.loads(await request.body() or b"null"), sort_keys=True, separators=(",", ":"))
    return KeyedRequest(idempotency_key, fingerprint(request.method, request.scope["path"], body.encode()))


OptionalKeyedRequest = Annotated[KeyedRequest | None, Depends(_keyed)]
"""Key and fingerprint of a JSON request; None without a key."""
