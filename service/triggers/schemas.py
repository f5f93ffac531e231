"""Request and response schemas of triggers."""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from service.contract.triggers import EventKind, FiringOutcome, TriggerSource
from service.database.tables.triggers import Firing, Trigger
from service.hooks.schemas import Description
from service.jobs.schemas import JobView
from service.triggers.expressions import MAX_LENGTH

_Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Filter = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
_TEMPLATE: Final = (
    "a job's body; its strings may contain placeholders `${{ data.repo.name }}`, JMESPath expressions over `event` (kind, id, "
    "source, type, time, subject, extensions) and `data` (the payload)"
)
_FILTER: Final = "JMESPath expression over `event` and `data`; a value that is null, false or empty drops the event"
_SOURCE: Final = "accepted event format; `any` detects it"

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
    """Trigger to create: a job template, and the events that start it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: _Name
    description: Description = ""
    template: dict[str, Any] = Field(description=_TEMPLATE)
    filter: _Filter | None = Field(None, description=_FILTER)
    source: TriggerSource = Field(TriggerSource.ANY, description=_SOURCE)
    enabled: StrictBool = True


class TriggerChange(BaseModel):
    """Fields to change; omitted fields stay unchanged. `filter: null` accepts every event."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}, {"filter": None}]})

    name: _Name | None = None
    description: Description | None = None
    template: dict[str, Any] | None = Field(None, description=_TEMPLATE)
    filter: _Filter | None = Field(None, description=_FILTER)
    source: TriggerSource | None = Field(None, description=_SOURCE)
    enabled: StrictBool | None = Field(None, description="false: events are rejected with 409")


class TriggerView(BaseModel):
    """Trigger."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    description: str
    template: dict[str, Any]
    filter: str | None
    source: TriggerSource
    enabled: bool
    old_secret_until: datetime | None = Field(description="end of the previous secret's validity")
    created_at: datetime


class TriggerWithSecret(TriggerView):
    """Trigger with its secret, which authenticates senders without an API key and is returned only once."""

    secret: str | None = Field(
        description="`whsec_…`; null if the service has no DSNOT_SECRET_KEY, so that only API keys can fire the trigger"
    )

    @classmethod
    def with_secret(cls, trigger: Trigger, secret: str | None) -> Self:
        """Return the view of a trigger with its secret."""
        return cls.model_validate({**TriggerView.model_validate(trigger).model_dump(), "secret": secret})


class TriggerPage(BaseModel):
    """Page of triggers, newest first."""

    items: list[TriggerView]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")


class FiringView(BaseModel):
    """Received event and its outcome."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    trigger_id: UUID
    outcome: FiringOutcome
    kind: EventKind
    event_id: str = Field(description="identifies the event: the same id again is a duplicate")
    refers_to: UUID | None = Field(description="firing of which this is a duplicate or replay")
    job_id: UUID | None
    problem: dict[str, Any] | None = Field(description="problem document that the sender received instead of a job")
    created_at: datetime


class FiringDetail(FiringView):
    """Firing with its event."""

    event: dict[str, Any] | None = Field(description="`{event, data}`, on which expressions are evaluated; null for a duplicate")


class FiringPage(BaseModel):
    """Page of firings, newest first."""

    items: list[FiringView]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")


class FiredView(FiringView):
    """Firing with its job; for a duplicate event, the firing that started the job."""

    job: JobView | None = Field(description="null if the filter dropped the event or the job is deleted")

    @classmethod
    def of_firing(cls, firing: Firing, job: JobView | None) -> Self:
        """Return the view of a firing with its job."""
        return cls.model_validate({**FiringView.model_validate(firing).model_dump(), "job": job})


class FiringPlan(BaseModel):
    """Dry run of an event."""

    event: dict[str, Any] = Field(description="`event` of the document that expressions are evaluated on")
    matched: bool = Field(description="whether the filter accepts the event")
    duplicate_of: UUID | None = Field(description="firing that already started the event's job")
    spec: dict[str, Any] | None = Field(description="job's body with every default; null if no job would start")
