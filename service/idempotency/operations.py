"""Idempotent requests: carried out once per key, then replayed.

The response is stored in the transaction that does the work: after a crash there are both or neither. Refused requests change
nothing and are not stored, so that the caller can correct them and send them under the same key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from service.database.engine import Database, Session
from service.errors import Later, Problem
from service.idempotency import repository
from service.idempotency.stored_response import Answer
from service.logging import get_logger

log = get_logger(__name__)

HEADER = "Idempotency-Key"
Admitted = TypeVar("Admitted")


class InFlight(Later):
    """Another request with the same key is in progress."""

    status, type, title, retry_after = 409, "idempotency-in-flight", "Request with this key in progress", 1


class KeyReused(Problem):
    """The key was used for a different request."""

    status, type, title = 422, "idempotency-key-reused", "Idempotency key reused"


@dataclass(frozen=True)
class KeyedRequest:
    """A request with an idempotency key."""

    key: str
    fingerprint: bytes


def fingerprint(method: str, path: str, content: bytes) -> bytes:
    """Return a hash that is equal for repetitions of a request; `content` is the body in canonical form, or its digest."""
    return sha256(f"{method} {path}\n".encode() + content).digest()


def once(
    database: Database,
    keyed: KeyedRequest | None,
    *,
    tenant: str,
    admit: Callable[[], Admitted],
    create: Callable[[Session, Admitted], Answer],
) -> Answer:
    """Run `create` in a transaction, or replay the response stored under the request's key.

    Args:
        keyed: None for a request without a key.
        admit: runs before the transaction, because it may take seconds. A replay skips it: what was admitted then may be
            refused now.

    Raises:
        KeyReused: the key was used for a different request.
        InFlight: another request with this key is in progress.
    """
    if keyed is None:
        admitted = admit()
        with database.begin() as session:
            return create(session, admitted)
    with database.at_once() as session:
        stored = _stored(session, tenant, keyed)
    return stored or _first(database, keyed, tenant, admit(), create)


def _first(
    database: Database, keyed: KeyedRequest, tenant: str, admitted: Admitted, create: Callable[[Session, Admitted], Answer]
) -> Answer:
    with database.begin() as session:
        if not repository.lock(session, tenant, keyed.key):
            raise InFlight("another request with this key is in progress; send the request again shortly to get its response")
        stored = _stored(session, tenant, keyed)  # committed by another request before this one had the lock
        if stored is not None:
            return stored
        answer = create(session, admitted)
        values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        repository.put(session, tenant, keyed.key, fingerprint=keyed.fingerprint, **values)
        return answer


def _stored(session: Session, tenant: str, keyed: KeyedRequest) -> Answer | None:
    """Return the response stored under the key. Raises KeyReused."""
    row = repository.find(session, tenant, keyed.key)
    if row is None:
        return None
    if row.fingerprint != keyed.fingerprint:
        detail = "was used for another request within the last day; use a new key for this one"
        raise KeyReused(f"{HEADER} {detail}", errors=[{"pointer": HEADER, "detail": detail}])
    log.info("response_replayed", status=row.status)
    return Answer(row.status, row.headers, row.body, is_replay=True)
