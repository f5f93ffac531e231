"""Request and response schemas of triggers."""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from service.contract.display_names import DisplayName
from service.contract.triggers import EventKind, FiringOutcome, Started, TriggerSource
from service.database.tables.triggers import Firing, Trigger
from service.hooks.schemas import Description
from service.jobs.schemas import JobView
from service.sweeps.schemas import SweepView
from service.triggers.expressions import MAX_LENGTH

_Filter = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH)]
_TEMPLATE: Final = (
    "body of a job, or of a sweep if the trigger starts sweeps; its strings may contain placeholders `${{ data.repo.name }}`, "
    "JMESPath expressions over `event` (kind, id, source, type, time, subject, extensions) and `data` (the payload)"
)
_FILTER: Final = "JMESPath expression over `event` and `data`; a value that is null, false or empty drops the event"
_STARTS: Final = "what events start: a job, or a sweep, whose template is a body of `POST /v1/sweeps`"
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
    """Trigger to create: the template of a job or sweep, and the events that start it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: DisplayName
    description: Description = ""
    starts: Started = Field("job", description=_STARTS)
    template: dict[str, Any] = Field(description=_TEMPLATE)
    filter: _Filter | None = Field(None, description=_FILTER)
    source: TriggerSource = Field(TriggerSource.ANY, description=_SOURCE)
    enabled: StrictBool = True


class TriggerChange(BaseModel):
    """Fields to change; omitted fields stay unchanged. `filter: null` accepts every event."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}, {"filter": None}]})

    name: DisplayName | None = None
    description: Description | None = None
    starts: Started | None = Field(None, description=f"{_STARTS}; a change needs such a template")
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
    starts: Started
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
    sweep_id: UUID | None
    problem: dict[str, Any] | None = Field(description="problem document that the sender received instead of a job or sweep")
    created_at: datetime


class FiringDetail(FiringView):
    """Firing with its event."""

    event: dict[str, Any] | None = Field(description="`{event, data}`, on which expressions are evaluated; null for a duplicate")


class FiringPage(BaseModel):
    """Page of firings, newest first."""

    items: list[FiringView]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")


class FiredView(FiringView):
    """Firing with its job or sweep; for a duplicate event, the firing that started it."""

    job: JobView | None = Field(description="null if the filter dropped the event, a sweep was started, or the job is deleted")
    sweep: SweepView | None = Field(description="the sweep, without its points; null where a job was started or none")

    @classmethod
    def of_firing(cls, firing: Firing, job: JobView | None, sweep: SweepView | None) -> Self:
        """Return the view of a firing with its job or sweep."""
        return cls.model_validate({**FiringView.model_validate(firing).model_dump(), "job": job, "sweep": sweep})


class FiringPlan(BaseModel):
    """Dry run of an event."""

    event: dict[str, Any] = Field(description="`event` of the document that expressions are evaluated on")
    matched: bool = Field(description="whether the filter accepts the event")
    duplicate_of: UUID | None = Field(description="firing that already started the event's job or sweep")
    spec: dict[str, Any] | None = Field(description="body of the job or sweep with every default; null if none would start")
