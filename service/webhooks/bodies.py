"""Body of a delivery in the format of its webhook."""

from collections.abc import Sequence
from typing import Any, Final

from service.contract.states import JobState
from service.contract.verdicts import judge
from service.contract.webhooks import WebhookEvent, WebhookFormat
from service.database.engine import Session
from service.database.tables.jobs import Job
from service.database.tables.webhooks import Delivery, Webhook
from service.sweeps import repository as sweeps
from service.webhooks import chat_texts, messages
from service.webhooks.chat_texts import BestPoint, chat_body_of
from service.webhooks.messages import Subject, body_of
from service.webhooks.subjects import subject_of

CONTENT_TYPES: Final = {WebhookFormat.DSNOT: messages.CONTENT_TYPE, WebhookFormat.SLACK: chat_texts.CONTENT_TYPE}
_ENDS_OF_SWEEPS: Final = (WebhookEvent.SWEEP_FINISHED, WebhookEvent.SWEEP_FAILED)


def body_for(session: Session, webhook: Webhook, delivery: Delivery, *, public_url: str | None) -> str:
    """Return the body of a delivery from the current state of its job or sweep."""
    subject = subject_of(session, delivery)
    if webhook.format != WebhookFormat.SLACK:
        return body_of(delivery, subject)
    best = None
    if subject is not None and delivery.type in _ENDS_OF_SWEEPS:
        best = _best(subject, sweeps.points(session, subject.id))
    return chat_body_of(delivery, subject, best, public_url)


def _best(sweep: Subject, points: Sequence[Job]) -> BestPoint | None:
    """Return the answer of a search, or the point with the least loss; None if it was not measured on both models."""
    search: dict[str, Any] | None = sweep.data["sweep"]["search"]
    wanted = None if search is None else {(search["answer"] or {}).get("position")}
    measured = [
        BestPoint(each.sweep_values or {}, found)
        for each in points
        if each.state == JobState.SUCCEEDED
        and (wanted is None or each.sweep_position in wanted)
        and (found := judge(each.metrics))
    ]
    return min(measured, key=lambda each: each.judgement.ratio, default=None)
