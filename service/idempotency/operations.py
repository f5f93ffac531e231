"""Carrying a request out once, however often it is sent.

The answer is stored in the transaction that does the work: after a crash there are both or neither. Requests that are refused
change nothing and are not remembered, so that they can be mended and sent under the same key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from service.database import Database, Session
from service.errors import Later, Problem
from service.idempotency import repository
from service.idempotency.answers import Answer
from service.logging import get_logger

log = get_logger(__name__)

HEADER = "Idempotency-Key"
Admitted = TypeVar("Admitted")


class InFlight(Later):
    status, type, title, retry_after = 409, "idempotency-in-flight", "A request with this key is being carried out", 1


class KeyReused(Problem):
    status, type, title = 422, "idempotency-key-reused", "The key belongs to another request"


@dataclass(frozen=True)
class Asked:
    """A request that its caller may send again, under a key of the caller's own."""

    key: str
    fingerprint: bytes


def fingerprint(method: str, path: str, content: bytes) -> bytes:
    """What two requests under one key must have in common; `content` is the body in a form that does not vary, or its digest."""
    return sha256(f"{method} {path}\n".encode() + content).digest()


def once(
    database: Database,
    asked: Asked | None,
    *,
    tenant: str,
    admit: Callable[[], Admitted],
    create: Callable[[Session, Admitted], Answer],
) -> Answer:
    """Do `create` in a transaction, or give again what was answered when it was done under this key.

    Without a key it is just done. `admit` comes before the transaction, where it may take its time, and is left out when the
    answer is known: what was admitted then may be impossible now.

    Raises:
        KeyReused: the key belongs to another request.
        InFlight: somebody carries out a request with this key at this moment.
    """
    if asked is None:
        admitted = admit()
        with database.begin() as session:
            return create(session, admitted)
    with database.begin() as session:
        known = _known(session, tenant, asked)
    return known or _first(database, asked, tenant, admit(), create)


def _first(
    database: Database, asked: Asked, tenant: str, admitted: Admitted, create: Callable[[Session, Admitted], Answer]
) -> Answer:
    with database.begin() as session:
        if not repository.lock(session, tenant, asked.key):
            raise InFlight("the same key is in use at this moment; send the request again shortly to learn what came of it")
        known = _known(session, tenant, asked)  # by somebody who was faster, and has committed before we had the lock
        if known is not None:
            return known
        answer = create(session, admitted)
        stored = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        repository.put(session, tenant, asked.key, fingerprint=asked.fingerprint, **stored)
        return answer


def _known(session: Session, tenant: str, asked: Asked) -> Answer | None:
    found = repository.find(session, tenant, asked.key)
    if found is None:
        return None
    if found.fingerprint != asked.fingerprint:
        detail = "was used for another request within the last day; make a new key for this one"
        raise KeyReused(f"{HEADER} {detail}", errors=[{"pointer": HEADER, "detail": detail}])
    log.info("answer_replayed", status=found.status)
    return Answer(found.status, found.headers, found.body, is_replay=True)
