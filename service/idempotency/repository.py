"""SQL of idempotency keys. A key expires after a day, whether or not its row has been deleted."""

from hashlib import sha256
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.database.engine import delete_batch, in_seconds, table_of
from service.database.tables.idempotency import KeyedAnswer

KEEP_SECONDS: Final = 86_400.0
_put: Final = insert(table_of(KeyedAnswer))
_PUT: Final = _put.on_conflict_do_update(
    index_elements=["tenant", "key"],
    set_={"created_at": func.now()} | {name: _put.excluded[name] for name in ("fingerprint", "status", "headers", "body")},
)


def lock(session: Session, tenant: str, key: str) -> bool:
    """Take an advisory lock on the key until the transaction ends; False if another transaction holds it."""
    digest = sha256(
        f"{tenant}\0{key}".encode()
    ).digest()  # cryptographic, because callers choose the key: no collisions on purpose
    number = int.from_bytes(digest[:8], signed=True)
    return bool(session.execute(select(func.pg_try_advisory_xact_lock(number))).scalar_one())


def find(session: Session, tenant: str, key: str) -> KeyedAnswer | None:
    """Return the unexpired response stored under the key."""
    statement = select(KeyedAnswer).where(KeyedAnswer.tenant == tenant, KeyedAnswer.key == key)
    return session.scalars(statement.where(KeyedAnswer.created_at > in_seconds(-KEEP_SECONDS))).one_or_none()


def put(session: Session, tenant: str, key: str, **answer: Any) -> None:
    """Store a response, replacing an expired one."""
    session.connection().execute(_PUT, {"tenant": tenant, "key": key, **answer})


def forget(session: Session) -> int:
    """Delete a batch of expired keys and return their number."""
    return delete_batch(session, KeyedAnswer, KeyedAnswer.created_at <= in_seconds(-KEEP_SECONDS))
