"""Address of the database: the URL as libpq reads it, so that every connection takes the same parameters from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl

import psycopg
from psycopg.conninfo import conninfo_to_dict

from service.kit.urls import check_credentials

_SCHEMES: Final = ("postgresql", "postgres")
_MALFORMED: Final = (
    "is not a database URL such as postgresql://user:password@host:5432/name; percent-encode special characters of the password"
)


@dataclass(frozen=True)
class DatabaseAddress:
    """Connection parameters of libpq; the password is not in its `repr`."""

    parameters: Mapping[str, str] = field(repr=False)
    is_pooled: bool = False
    """Whether a pooler may give each transaction another server session: nothing may then be kept in a session."""

    @classmethod
    def of(cls, url: "str | DatabaseAddress", *, is_pooled: bool = False) -> Self:
        """Return the address of `postgresql://user:password@host1:port,host2:port/name?parameter=value`.

        Raises:
            ValueError: it is not such a URL; the message contains no part of it.
        """
        if isinstance(url, cls):
            return url
        parameters = _parameters(str(url).strip())
        if is_pooled and "options" in parameters:
            raise ValueError("has `options`, which a connection pooler does not pass on; use ALTER ROLE … SET instead")
        return cls(parameters, is_pooled)


def _parameters(url: str) -> dict[str, str]:
    scheme, is_url, rest = url.partition("://")
    if not is_url:
        raise ValueError(_MALFORMED)
    if scheme.partition("+")[0] not in _SCHEMES:
        raise ValueError("has another scheme than postgresql://; only postgresql is supported")
    check_credentials(url, "/?")
    if sum(name == "host" for name, _ in parse_qsl(rest.partition("?")[2])) > 1:
        raise ValueError("has several `host=`; write postgresql://user:password@host1:5432,host2:5432/name")
    try:
        found = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.Error:
        raise ValueError(_MALFORMED) from None  # the cause quotes parts of the URL
    parameters = {name: str(value) for name, value in found.items() if value is not None}
    if not all(port.isdecimal() for port in parameters.get("port", "").split(",") if port):
        raise ValueError(_MALFORMED)
    return parameters
