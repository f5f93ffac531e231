"""Routes of triggers and their firings."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request, Response

from service.api.trigger_authentication import PROOFS, RawBody, Sender, covered_headers
from service.contract.triggers import FiringOutcome
from service.database.tables.triggers import Trigger
from service.errors import Conflict, NotFound
from service.hooks import operations as hooks
from service.hooks.schemas import Rotation
from service.jobs.operations import QuotaExceeded
from service.jobs.schemas import JobView
from service.sweeps.schemas import SweepView
from service.triggers import operations
from service.triggers.events import message_of
from service.triggers.firing import Fired, Firer
from service.triggers.schemas import (
    FiredView,
    FiringDetail,
    FiringPage,
    FiringPlan,
    FiringView,
    NewTrigger,
    TriggerChange,
    TriggerPage,
    TriggerView,
    TriggerWithSecret,
)
from service.web.authentication import JobReader, JobWriter
from service.web.dependencies import TheDatabase, TheModels, TheSettings
from service.web.headers import LOCATION
from service.web.idempotency_key import OptionalKey
from service.web.problem_responses import problem_responses
from service.web.query_parameters import TRUE_OR_FALSE, PageCursor, PageLimit
from service.web.request_body import BODY_PROBLEMS

router = APIRouter(prefix="/v1/triggers", tags=["triggers"])

_CLOUDEVENT: Final[dict[str, Any]] = {
    "title": "CloudEvent",
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "pattern": r"^\S+$"},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": ["string", "null"], "minLength": 1},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"], "pattern": r"^[^;]*[/+][Jj][Ss][Oo][Nn]\s*(;.*)?$"},
        "dataschema": {"type": ["string", "null"], "minLength": 1},
    },
}
_EVENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "An event: any JSON object, a webhook payload of the Hub or of MLflow, a structured CloudEvent, "
        "or the data of a binary one, with its attributes in the headers `ce-*`.",
        "content": {
            "application/json": {
                "schema": {"title": "Event", "type": "object"},
                "example": {"id": "run-1", "model": "facebook/opt-125m"},
            },
            "application/cloudevents+json": {
                "schema": _CLOUDEVENT,
                "example": {
                    "specversion": "1.0",
                    "id": "1",
                    "source": "/registry",
                    "type": "model.created",
                    "data": {"name": "a/b"},
                },
            },
        },
    }
}


@router.post(
    "",
    status_code=201,
    response_model=TriggerWithSecret,
    responses={201: {"headers": LOCATION}, **problem_responses(Conflict, *BODY_PROBLEMS)},
)
def create_trigger(
    wanted: NewTrigger, caller: JobWriter, settings: TheSettings, database: TheDatabase, response: Response
) -> TriggerWithSecret:
    """Create a trigger: the template of a job or sweep that events start."""
    trigger, secret = operations.create(database, settings, wanted, tenant=caller.tenant)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = f"/v1/triggers/{trigger.id}"
    return TriggerWithSecret.with_secret(trigger, secret)


@router.get("", response_model=TriggerPage)
def list_triggers(
    caller: JobReader,
    database: TheDatabase,
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> TriggerPage:
    """List the tenant's triggers, newest first."""
    page = operations.list_newest(database, tenant=caller.tenant, cursor=cursor, limit=limit)
    return TriggerPage(items=[TriggerView.model_validate(each) for each in page.items], next_cursor=page.next_cursor)


@router.get("/{trigger_id}", response_model=TriggerView, responses=problem_responses(NotFound))
def get_trigger(trigger_id: UUID, caller: JobReader, database: TheDatabase) -> TriggerView:
    """Return one trigger."""
    return TriggerView.model_validate(hooks.get(database, Trigger, trigger_id, tenant=caller.tenant))


@router.patch("/{trigger_id}", response_model=TriggerView, responses=problem_responses(NotFound, *BODY_PROBLEMS))
def change_trigger(trigger_id: UUID, wanted: TriggerChange, caller: JobWriter, database: TheDatabase) -> TriggerView:
    """Change template, filter or other fields of a trigger, or disable it. Jobs that it has started are not affected."""
    return TriggerView.model_validate(operations.change(database, trigger_id, wanted, tenant=caller.tenant))


@router.delete("/{trigger_id}", status_code=204, responses=problem_responses(NotFound))
def delete_trigger(trigger_id: UUID, caller: JobWriter, database: TheDatabase) -> None:
    """Delete a trigger and its event log. Its jobs are kept."""
    hooks.delete(database, Trigger, trigger_id, tenant=caller.tenant)


@router.post(
    "/{trigger_id}/rotate-secret", response_model=TriggerWithSecret, responses=problem_responses(NotFound, *BODY_PROBLEMS)
)
def rotate_trigger_secret(
    trigger_id: UUID,
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    response: Response,
    wanted: Annotated[Rotation | None, Body()] = None,
) -> TriggerWithSecret:
    """Rotate the trigger's secret. The old secret stays valid for a while, as a transition period for senders."""
    response.headers["Cache-Control"] = "no-store"
    overlap = (wanted or Rotation()).overlap_seconds
    rotated = hooks.rotate(database, settings, Trigger, trigger_id, overlap_seconds=overlap, tenant=caller.tenant)
    return TriggerWithSecret.with_secret(*rotated)


@router.post(
    "/{trigger_id}/fire",
    status_code=201,
    response_model=FiredView | FiringPlan,
    dependencies=PROOFS,
    openapi_extra=_EVENT,
    responses={
        200: {
            "model": FiredView | FiringPlan,
            "description": "Nothing new: a duplicate event, dropped by the filter, or `validate_only`",
            "headers": LOCATION,
        },
        201: {"headers": LOCATION, "description": "The event has started a job or sweep"},
        **problem_responses(NotFound, Conflict, QuotaExceeded, *BODY_PROBLEMS),
    },
)
def fire_trigger(
    trigger_id: UUID,
    sender: Sender,
    settings: TheSettings,
    database: TheDatabase,
    models: TheModels,
    body: RawBody,
    request: Request,
    response: Response,
    idempotency_key: OptionalKey = None,
    validate_only: Annotated[
        bool, TRUE_OR_FALSE, Query(description="dry run: return the plan without starting anything")
    ] = False,
) -> FiredView | FiringPlan:
    """Send an event, which starts a job or sweep. Sending it again returns the same one and starts none."""
    firer = Firer(database, settings, models, tenant=sender.tenant)
    headers = covered_headers(request)
    message = message_of(headers, body, key=idempotency_key if "idempotency-key" in headers else None)
    if validate_only:
        response.status_code = 200
        plan = firer.plan(trigger_id, message)
        return FiringPlan(
            event=plan.event.document()["event"],
            matched=plan.matched,
            duplicate_of=plan.held_by.id if plan.held_by else None,
            spec=plan.spec.model_dump(mode="json") if plan.spec else None,
        )
    return _shown(firer.fire(trigger_id, message), response)


@router.get("/{trigger_id}/firings", response_model=FiringPage, responses=problem_responses(NotFound))
def list_firings(
    trigger_id: UUID,
    caller: JobReader,
    database: TheDatabase,
    outcome: Annotated[FiringOutcome | None, Query()] = None,
    limit: PageLimit = 20,
    cursor: PageCursor = None,
) -> FiringPage:
    """List the received events and their outcomes, newest first."""
    page = operations.log(database, trigger_id, outcome=outcome, cursor=cursor, limit=limit, tenant=caller.tenant)
    return FiringPage(items=[FiringView.model_validate(each) for each in page.items], next_cursor=page.next_cursor)


@router.get("/{trigger_id}/firings/{firing_id}", response_model=FiringDetail, responses=problem_responses(NotFound))
def get_firing(trigger_id: UUID, firing_id: UUID, caller: JobReader, database: TheDatabase) -> FiringDetail:
    """Return one firing, with its event."""
    return FiringDetail.model_validate(operations.get_firing(database, trigger_id, firing_id, tenant=caller.tenant))


@router.post(
    "/{trigger_id}/firings/{firing_id}/replay",
    status_code=201,
    response_model=FiredView,
    responses={201: {"headers": LOCATION}, **problem_responses(NotFound, Conflict, QuotaExceeded)},
)
def replay_firing(
    trigger_id: UUID,
    firing_id: UUID,
    caller: JobWriter,
    settings: TheSettings,
    database: TheDatabase,
    models: TheModels,
    response: Response,
) -> FiredView:
    """Start another job or sweep from a logged event, with the current template and regardless of the filter."""
    return _shown(Firer(database, settings, models, tenant=caller.tenant).replay(trigger_id, firing_id), response)


def _shown(fired: Fired, response: Response) -> FiredView:
    response.status_code = 201 if fired.is_new else 200
    job = JobView.of(fired.job) if fired.job else None
    sweep = SweepView.of(fired.sweep.sweep, fired.sweep.jobs) if fired.sweep else None
    if job or sweep:
        response.headers["Location"] = f"/v1/jobs/{job.id}" if job else f"/v1/sweeps/{fired.firing.sweep_id}"
    return FiredView.of_firing(fired.firing, job, sweep)
