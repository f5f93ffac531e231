"""SQL of model checks: questions of the service, answers of workers."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from service.contract.model_checks import ModelCheck
from service.database.engine import Session, delete_batch, in_seconds
from service.database.tables.model_checks import ModelCheckRow
from service.database.tables.workers import Worker

_ASKED_SECONDS: Final = 60.0
"""Time after which the answer is no longer waited for."""
_ANSWER_SECONDS: Final = 30.0
"""Time after which another worker takes a check."""
_KEEP_SECONDS: Final = 30 * 86_400.0


@dataclass(frozen=True)
class Question:
    """Check that a worker has taken."""

    key: str
    files: bytes


def answer_to(session: Session, key: str) -> ModelCheck | None:
    """Return the answer, if there is one."""
    answer = session.scalar(select(ModelCheckRow.answer).where(ModelCheckRow.key == key))
    return None if answer is None else ModelCheck.model_validate(answer)


def is_any_worker_online(session: Session, *, silent_seconds: float) -> bool:
    """Return whether a worker has sent a heartbeat within `silent_seconds`."""
    return session.scalar(select(exists().where(Worker.is_alive(silent_seconds)))) or False


def online_workers(session: Session, *, silent_seconds: float) -> int:
    """Return the number of workers that have sent a heartbeat within `silent_seconds`."""
    return session.execute(select(func.count()).where(Worker.is_alive(silent_seconds))).scalar_one()


def ask(session: Session, key: str, files: bytes) -> None:
    """Ask the workers; a question that is there without an answer counts as asked now."""
    question = insert(ModelCheckRow).values(key=key, asked_at=func.now(), files=files)
    again = question.on_conflict_do_update(
        index_elements=[ModelCheckRow.key], set_={"asked_at": func.now()}, where=ModelCheckRow.answer.is_(None)
    )
    session.execute(again)


def take(session: Session) -> Question | None:
    """Take the latest open question that no other worker is answering."""
    is_free = or_(ModelCheckRow.taken_at.is_(None), ModelCheckRow.taken_at < in_seconds(-_ANSWER_SECONDS))
    found = session.scalars(
        select(ModelCheckRow)
        .where(ModelCheckRow.files.is_not(None), ModelCheckRow.asked_at > in_seconds(-_ASKED_SECONDS), is_free)
        .order_by(ModelCheckRow.asked_at.desc())
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if found is None or found.files is None:
        return None
    session.execute(update(ModelCheckRow).where(ModelCheckRow.key == found.key).values(taken_at=func.now()))
    return Question(found.key, found.files)


def answer(session: Session, key: str, check: ModelCheck) -> None:
    """Store the answer and drop the files."""
    values = {"answer": check.model_dump(mode="json"), "files": None}
    session.execute(update(ModelCheckRow).where(ModelCheckRow.key == key).values(values))


def forget(session: Session) -> int:
    """Delete a batch of answers older than 30 days, and of questions that were given up; return their number."""
    is_given_up = ModelCheckRow.answer.is_(None) & (ModelCheckRow.asked_at < in_seconds(-_ASKED_SECONDS))
    return delete_batch(session, ModelCheckRow, or_(is_given_up, ModelCheckRow.asked_at < in_seconds(-_KEEP_SECONDS)))
