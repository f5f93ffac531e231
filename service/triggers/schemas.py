"""Triggers as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from service.contract import EventKind, FiringOutcome, TriggerSource
from service.database.tables.triggers import Firing, Trigger
from service.jobs.schemas import JobView
from service.triggers.expressions import MAX_LENGTH

_Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Description = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Filter = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
_TEMPLATE: Final = (
    "a job's body whose texts may hold placeholders: `${{ data.repo.name }}`, a JMESPath expression over `event` (kind, id, "
    "source, type, time, subject, extensions) and `data` (the payload)"
)
_FILTER: Final = "JMESPath expression over `event` and `data`; where it is null, false or empty, nothing is started"
_SOURCE: Final = "which kinds of event it takes; `any` recognises them by their shape"

_EXAMPLE: Final[dict[str, Any]] = {
    "name": "prune what is pushed",
    "source": "huggingface",
    "filter": "event.type == 'repo.content.update' && data.updatedRefs[?ref == 'refs/heads/main']",
    "template": {
        "model": {"id": "${{ data.repo.name }}", "revision": "${{ data.repo.headSha }}"},
        "recipe": {"preset": "balanced"},
        "labels": {"commit": "${{ data.repo.headSha }}"},
    },
}


class NewTrigger(BaseModel):
    """What to start, and what starts it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: _Name
    description: _Description = ""
    template: dict[str, Any] = Field(description=_TEMPLATE)
    filter: _Filter | None = Field(None, description=_FILTER)
    source: TriggerSource = Field(TriggerSource.ANY, description=_SOURCE)
    enabled: StrictBool = True


class TriggerChange(BaseModel):
    """What to change; fields that are left out stay as they are. `filter: null` lets everything through."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}, {"filter": None}]})

    name: _Name | None = None
    description: _Description | None = None
    template: dict[str, Any] | None = Field(None, description=_TEMPLATE)
    filter: _Filter | None = Field(None, description=_FILTER)
    source: TriggerSource | None = Field(None, description=_SOURCE)
    enabled: StrictBool | None = Field(None, description="false: events are answered 409")


class TriggerView(BaseModel):
    """A trigger."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    description: str
    template: dict[str, Any]
    filter: str | None
    source: TriggerSource
    enabled: bool
    old_secret_until: datetime | None = Field(description="until when the secret before holds, too")
    created_at: datetime


class TriggerWithSecret(TriggerView):
    """A trigger, and what senders without an API key prove themselves with: shown here and never again."""

    secret: str | None = Field(
        description="`whsec_…`; null where the service has no DSNOT_SECRET_KEY, so that only API keys fire it"
    )

    @classmethod
    def with_secret(cls, trigger: Trigger, secret: str | None) -> Self:
        return cls.model_validate({**TriggerView.model_validate(trigger).model_dump(), "secret": secret})


class TriggerPage(BaseModel):
    """Triggers, newest first."""

    items: list[TriggerView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class FiringView(BaseModel):
    """An event that came, and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    trigger_id: UUID
    outcome: FiringOutcome
    kind: EventKind
    event_id: str = Field(description="what makes it the same event if it comes again")
    refers_to: UUID | None = Field(description="the firing that a duplicate repeats, or that was replayed")
    job_id: UUID | None
    problem: dict[str, Any] | None = Field(description="what the sender was answered instead of a job")
    created_at: datetime


class FiringDetail(FiringView):
    """A firing with its event."""

    event: dict[str, Any] | None = Field(description="`{event, data}`, as placeholders see it; null for a duplicate")


class FiringPage(BaseModel):
    """Firings, newest first."""

    items: list[FiringView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class FiredView(FiringView):
    """A firing with its job. For an event that came before, the firing that started its job."""

    job: JobView | None = Field(description="null if the filter did not let the event through, or the job is deleted")

    @classmethod
    def of_firing(cls, firing: Firing, job: JobView | None) -> Self:
        return cls.model_validate({**FiringView.model_validate(firing).model_dump(), "job": job})


class FiringPlan(BaseModel):
    """What an event would do."""

    event: dict[str, Any] = Field(description="as placeholders see it, without `data`")
    matched: bool = Field(description="whether the filter lets it through")
    duplicate_of: UUID | None = Field(description="the firing that has started its job before")
    spec: dict[str, Any] | None = Field(description="the job's body with every default; null if nothing would be started")
