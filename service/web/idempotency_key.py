"""The header `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header has it, or as a bare word."""

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
_MISTAKE: Final = "must be 1 to 255 printable ASCII characters, in double quotes or without"
_TEXT: Final = """\
Makes it safe to send the request again when its answer was lost: under the same key it is carried out once, and every further
time within 24 hours the first answer comes again, with `Idempotency-Replayed: true`. A UUID is a good key: 1 to 255 printable
ASCII characters, as a string in double quotes or without them. With another body the key is refused (422,
`idempotency-key-reused`), and while the first request is at work, too (409, `idempotency-in-flight`). Only requests that have
succeeded are remembered: one that was refused can be mended and sent under the same key."""


def key_of(value: str) -> str:
    """The key that a header's value names; with and without quotes it is the same.

    Raises:
        ValueError: it names none.
    """
    if not re.fullmatch(_PATTERN, value):
        raise ValueError(_MISTAKE)
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


OptionalKey = Annotated[
    Annotated[str, AfterValidator(key_of)] | None,
    WithJsonSchema({"type": "string", "pattern": _PATTERN}),
    Header(alias=HEADER, description=_TEXT),
]
"""The key alone, for routes whose body is no JSON."""


async def _keyed(request: Request, idempotency_key: OptionalKey = None) -> KeyedRequest | None:
    if idempotency_key is None:
        return None
    if len(request.headers.getlist(HEADER)) > 1:
        detail = "must be sent once"
        raise InvalidInput(f"{HEADER} {detail}", errors=[{"pointer": HEADER, "detail": detail}])
    body = json.dumps(json.loads(await request.body() or b"null"), sort_keys=True, separators=(",", ":"))
    return KeyedRequest(idempotency_key, fingerprint(request.method, request.scope["path"], body.encode()))


OptionalKeyedRequest = Annotated[KeyedRequest | None, Depends(_keyed)]
"""Parameter of routes that take JSON; None for a request without a key."""
