"""Carrying a request out once, however often it is sent.

The answer is stored in the transaction that does the work: after a crash there are both or neither. Requests that are refused
change nothing and are not remembered, so that they can be mended and sent under the same key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from service.database import Database, Session
from service.errors import Later, Problem
from service.idempotency import repository
from service.idempotency.answers import Answer
from service.idempotency.repository import Key
from service.idempotency.tables import KeyedAnswer

HEADER = "Idempotency-Key"


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


Keyed = tuple[Key, Asked]
"""A request and its key; the tenant is part of the key."""


def known(database: Database, asked: Asked, *, tenant: str) -> Answer | None:
    """What was answered when the request was carried out under this key. Raises KeyReused."""
    with database.begin() as session:
        found = repository.find(session, [(tenant, asked.key)]).get((tenant, asked.key))
    answer = _again(found, asked) if found else None
    if isinstance(answer, KeyReused):
        raise answer
    return answer


def once(
    session: Session, requests: Sequence[Keyed | None], carry_out: Callable[[Sequence[int]], Sequence[Answer | Problem]]
) -> list[Answer | Problem]:
    """The answers to requests: those that were given under their keys, and for the others what comes of `carry_out`.

    Args:
        requests: None for one without a key, which is just carried out.
        carry_out: is called with the places of those that have not been carried out yet; nobody else does that meanwhile.

    Instead of an answer:
        KeyReused: the key belongs to another request.
        InFlight: somebody carries out a request with this key at this moment.
    """
    keyed = {place: request for place, request in enumerate(requests) if request}
    outcomes = _settled(session, keyed) if keyed else {}
    places = [place for place in range(len(requests)) if place not in outcomes]
    outcomes |= zip(places, carry_out(places), strict=True)
    rows = [_row(keyed[place], answer) for place in places if place in keyed and isinstance(answer := outcomes[place], Answer)]
    if rows:
        repository.put(session, rows)
    return [outcomes[place] for place in range(len(requests))]


def _settled(session: Session, keyed: Mapping[int, Keyed]) -> dict[int, Answer | Problem]:
    """The outcomes for which nothing has to be done. The other keys are this transaction's until it ends."""
    firsts: dict[Key, int] = {}  # of those that have come together under the same key
    for place, (key, _) in keyed.items():
        firsts.setdefault(key, place)
    locked = repository.lock(session, list(firsts))
    found = repository.find(session, locked)  # also what somebody who was faster has committed before we had the lock
    outcomes: dict[int, Answer | Problem] = {}
    for place, (key, asked) in keyed.items():
        if key in found:
            outcomes[place] = _again(found[key], asked)
        elif key not in locked or firsts[key] != place:
            detail = "the same key is in use at this moment; send the request again shortly to learn what came of it"
            outcomes[place] = InFlight(detail)
    return outcomes


def _row(request: Keyed, answer: Answer) -> dict[str, Any]:
    (tenant, key), asked = request
    stored = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
    return {"tenant": tenant, "key": key, "fingerprint": asked.fingerprint, **stored}


def _again(found: KeyedAnswer, asked: Asked) -> Answer | KeyReused:
    if found.fingerprint != asked.fingerprint:
        detail = "was used for another request within the last day; make a new key for this one"
        return KeyReused(f"{HEADER} {detail}", errors=[{"pointer": HEADER, "detail": detail}])
    return Answer(found.status, found.headers, found.body, is_replay=True)
