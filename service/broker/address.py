"""Address of the broker: one URL that redis-py and Celery read alike."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from service.kit.urls import check_credentials

_SCHEMES: Final = ("redis", "rediss")
_CHECKS: Final = ("required", "optional", "none")
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_MALFORMED: Final = (
    "is not a URL such as redis://:password@host:6379/0 or rediss://…; percent-encode special characters of the password"
)


def broker_address(url: str) -> str:
    """Return the URL with the options of TLS in the spelling of redis-py; certificates are checked unless it says otherwise.

    Celery's spelling (`CERT_NONE`) is accepted. Without `ssl_cert_reqs` Celery alone would not check certificates.

    Raises:
        ValueError: it is not such a URL, or a file that it names does not exist; the message contains no password.
    """
    url = url.strip()
    check_credentials(url, "/?#")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in _SCHEMES and parts.port != 0 and not parts.fragment
    except ValueError:
        raise ValueError(_MALFORMED) from None  # the cause quotes parts of the URL
    if not is_address or (parts.path.strip("/") and not parts.path[1:].isdecimal()):
        raise ValueError(_MALFORMED)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "rediss":
        query["ssl_cert_reqs"] = _check_of(query.get("ssl_cert_reqs", "required"))
    elif any(name.startswith("ssl_") for name in query):
        raise ValueError("has options of TLS; begin it with rediss:// instead of redis://")
    for name in _FILES:
        if name in query and not Path(query[name]).is_file():
            raise ValueError(f"names a file in `{name}` that does not exist on this host")
    return parts._replace(query=urlencode(query, safe="/")).geturl()


def _check_of(value: str) -> str:
    check = value.lower().removeprefix("cert_")
    if check not in _CHECKS:
        raise ValueError("has an unknown `ssl_cert_reqs`; use required, optional or none")
    return check
