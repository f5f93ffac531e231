"""SQL of idempotency keys. A key that is older than a day is none, whether it has been swept or not."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.database import in_seconds, table_of
from service.idempotency.tables import KeyedAnswer

KEEP_SECONDS: Final = 86_400.0
_put: Final = insert(table_of(KeyedAnswer))
_PUT: Final = _put.on_conflict_do_update(
    index_elements=["tenant", "key"],
    set_={"created_at": func.now()} | {name: _put.excluded[name] for name in ("fingerprint", "status", "headers", "body")},
)


Key = tuple[str, str]
"""A tenant, and the key of its own."""


def lock(session: Session, keys: Sequence[Key]) -> list[Key]:
    """Keep everybody else from the keys until the transaction ends; those are left out that somebody holds now."""
    numbers = {_number(key): key for key in keys}
    number = func.unnest(bindparam("numbers", list(numbers), type_=ARRAY(BigInteger))).column_valued("number")
    rows = session.execute(select(number, func.pg_try_advisory_xact_lock(number)))
    return [numbers[number] for number, is_locked in rows if is_locked]


def _number(key: Key) -> int:
    digest = sha256("\0".join(key).encode()).digest()  # of a caller's text: nobody is to find one that collides with another
    return int.from_bytes(digest[:8], signed=True)


def find(session: Session, keys: Sequence[Key]) -> dict[Key, KeyedAnswer]:
    """What was answered under those of the keys that have an answer."""
    wanted = select(KeyedAnswer).where(tuple_(KeyedAnswer.tenant, KeyedAnswer.key).in_(keys))
    rows = session.scalars(wanted.where(KeyedAnswer.created_at > in_seconds(-KEEP_SECONDS)))
    return {(row.tenant, row.key): row for row in rows}


def put(session: Session, answers: Sequence[Mapping[str, Any]]) -> None:
    """Over old ones, if there are any."""
    session.connection().execute(_PUT, answers)


def forget(session: Session) -> None:
    """Drop the keys that are too old."""
    session.execute(delete(KeyedAnswer).where(KeyedAnswer.created_at <= in_seconds(-KEEP_SECONDS)))
