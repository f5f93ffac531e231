"""SQL of idempotency keys. A key that is older than a day is none, whether it has been swept or not."""

from hashlib import sha256
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.database import in_seconds
from service.idempotency.tables import KeyedAnswer

KEEP_SECONDS: Final = 86_400.0


def lock(session: Session, tenant: str, key: str) -> bool:
    """Keep everybody else from the key until the transaction ends; False if somebody holds it now."""
    digest = sha256(f"{tenant}\0{key}".encode()).digest()  # of a caller's text: nobody is to find one that collides with another
    number = int.from_bytes(digest[:8], signed=True)
    return bool(session.execute(select(func.pg_try_advisory_xact_lock(number))).scalar_one())


def find(session: Session, tenant: str, key: str) -> KeyedAnswer | None:
    wanted = select(KeyedAnswer).where(KeyedAnswer.tenant == tenant, KeyedAnswer.key == key)
    return session.scalars(wanted.where(KeyedAnswer.created_at > in_seconds(-KEEP_SECONDS))).one_or_none()


def put(session: Session, tenant: str, key: str, **answer: Any) -> None:
    """Over an old one, if there is any."""
    statement = insert(KeyedAnswer).values(tenant=tenant, key=key, created_at=func.now(), **answer)
    changes = {name: statement.excluded[name] for name in ("created_at", *answer)}
    session.execute(statement.on_conflict_do_update(index_elements=["tenant", "key"], set_=changes))


def forget(session: Session) -> None:
    """Drop the keys that are too old."""
    session.execute(delete(KeyedAnswer).where(KeyedAnswer.created_at <= in_seconds(-KEEP_SECONDS)))
