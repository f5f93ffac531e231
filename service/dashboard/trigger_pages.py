"""Pages of triggers and their event logs."""

import json
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from service.contract.triggers import FiringOutcome, TriggerSource
from service.dashboard.access import Reader, check_may_write
from service.dashboard.rendering import page
from service.dashboard.sample_events import SAMPLES, TEMPLATES
from service.database.tables.triggers import Trigger
from service.hooks import operations as hooks
from service.triggers import operations
from service.web.dependencies import TheDatabase
from service.web.query_parameters import PageCursor

router: Final = APIRouter(include_in_schema=False)

_PAGE: Final = 50


@router.get("/triggers")
def show_triggers(
    request: Request,
    reader: Reader,
    database: TheDatabase,
    cursor: PageCursor = None,
) -> Response:
    """Show the trigger list."""
    found = operations.list_newest(database, tenant=reader.tenant, cursor=cursor or None, limit=_PAGE)
    standings = operations.standings(database, found.items)
    shown = [(each, standings[each.id]) for each in found.items if each.id in standings]
    return page(request, "triggers.html", found=shown, next_cursor=found.next_cursor, cursor=cursor)


@router.get("/triggers/new")
def show_new_trigger(request: Request, reader: Reader) -> Response:
    """Show the form of a new trigger."""
    check_may_write(reader, "creating triggers")
    return _form(request, None)


@router.get("/triggers/{trigger_id}/edit")
def show_trigger_form(request: Request, trigger_id: UUID, reader: Reader, database: TheDatabase) -> Response:
    """Show the form to edit a trigger."""
    check_may_write(reader, "changing triggers")
    return _form(request, hooks.get(database, Trigger, trigger_id, tenant=reader.tenant))


def _form(request: Request, trigger: Trigger | None) -> Response:
    templates = {source: _written(template) for source, template in TEMPLATES.items()}
    template = _written(trigger.template) if trigger else templates[TriggerSource.ANY]
    return page(request, "trigger_form.html", trigger=trigger, body=template, templates=templates, sources=list(TriggerSource))


@router.get("/triggers/{trigger_id}")
def show_trigger(
    request: Request,
    trigger_id: UUID,
    reader: Reader,
    database: TheDatabase,
    outcome: Annotated[str, Query(max_length=64)] = "",
    cursor: PageCursor = None,
) -> Response:
    """Show a trigger and its event log."""
    wanted = next((each for each in FiringOutcome if each == outcome), None)
    trigger = hooks.get(database, Trigger, trigger_id, tenant=reader.tenant)
    found = operations.log(database, trigger_id, outcome=wanted, cursor=cursor or None, limit=_PAGE, tenant=reader.tenant)
    return page(
        request,
        "trigger.html",
        trigger=trigger,
        body=_written(trigger.template),
        sample=_written(SAMPLES[TriggerSource(trigger.source)]),
        firings=found.items,
        next_cursor=found.next_cursor,
        cursor=cursor,
        outcome=wanted,
        outcomes=list(FiringOutcome),
    )


@router.get("/triggers/{trigger_id}/firings/{firing_id}")
def show_firing(request: Request, trigger_id: UUID, firing_id: UUID, reader: Reader, database: TheDatabase) -> Response:
    """Show one event and its outcome."""
    trigger = hooks.get(database, Trigger, trigger_id, tenant=reader.tenant)
    firing = operations.get_firing(database, trigger_id, firing_id, tenant=reader.tenant)
    event = _written(firing.event) if firing.event is not None else None
    return page(request, "firing.html", trigger=trigger, firing=firing, event=event)


def _written(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
