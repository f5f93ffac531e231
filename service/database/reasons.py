"""Reasons of database errors in words of our own: libpq's quote parts of the URL, and the server's may be in any language."""

import re
from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_BY_STATE: Final[dict[str, str]] = {
    "25006": "the server is read-only; name the primary, or all hosts with target_session_attrs=read-write",
    "28000": "the server refuses the user or the host of this client; check the user name and pg_hba.conf",
    "28P01": "the server refuses the password; percent-encode special characters of the password",
    "3D000": "the database does not exist; correct its name, or create it",
    "42501": "the role lacks a privilege; grant it USAGE and CREATE on the schema, and all on its tables",
    "42P01": "a table of this version is missing; run `dsnot migrate`",
    "42703": "a column of this version is missing; run `dsnot migrate`",
    "53300": "the server has no free connection; raise max_connections or the role's limit, or run fewer processes",
    "57014": "the server cancelled the statement after its timeout",
    "57P03": "the server is starting or stopping",
}
_POOLER: Final = "a connection pooler refuses session settings; set DSNOT_DATABASE_DIRECT_URL to the PostgreSQL server itself"
_POOLER_CUT_OFF: Final = (
    "the connection pooler has no connection to the server; check that it reaches the server, and the size of its pool"
)
_BY_TEXT: Final = (
    ("unsupported startup parameter", _POOLER),
    ("server login has been failing|pgbouncer cannot connect|query_wait_timeout", _POOLER_CUT_OFF),
    ("password authentication failed|no password supplied|SASL", _BY_STATE["28P01"]),
    ("no pg_hba.conf entry|Ident|role .* does not exist|not permitted to log in", _BY_STATE["28000"]),
    ("database .* does not exist|no such database", _BY_STATE["3D000"]),
    ("too many (clients|connections)|connection slots|no more connections allowed", _BY_STATE["53300"]),
    ("starting up|shutting down|not yet accepting", _BY_STATE["57P03"]),
    ("read-only|hot standby", _BY_STATE["25006"]),
    ("certificate verify failed|root certificate|server certificate", "the server's certificate is not trusted; set sslrootcert"),
    ("does not support SSL|SSL", "the server and sslmode do not agree about TLS"),
    ("failed to resolve host|could not translate host name", "the host name cannot be resolved"),
    ("Connection refused|No such file", "nothing accepts connections at its host and port"),
    ("unreachable|No route", "there is no route to its host"),
    ("timeout|timed out", "there was no answer in time"),
    ("closed|lost|terminat|reset", "the connection was broken"),
)
_OTHER: Final = "the server refused; its log has the reason"


def reason_of(error: BaseException) -> str:
    """Return why a database operation failed, with the remedy; never words of a library."""
    if isinstance(error, PoolTimeoutError):
        return "all connections of this process are in use"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if not isinstance(cause, psycopg.Error):
        return _OTHER
    found = [reason for pattern, reason in _BY_TEXT if re.search(pattern, str(cause), re.IGNORECASE)]
    return _BY_STATE.get(cause.sqlstate or "") or next(iter(found), _OTHER)
