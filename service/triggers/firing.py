"""Firing of triggers: an event starts at most one job or sweep and is logged.

Job or sweep and firing are written in one transaction, and a unique index allows one firing to hold an event. An event whose job
was refused or that the filter dropped is not held: sent again, it is evaluated again.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from service.contract.spec import JobSpec
from service.contract.sweeps import SweepSpec
from service.contract.triggers import FiringOutcome, TriggerSource
from service.database.engine import Database, Session
from service.database.tables.jobs import Job
from service.database.tables.triggers import Firing, Trigger
from service.errors import Conflict, InvalidInput, Problem, Unavailable
from service.hooks import operations as hooks
from service.jobs import operations as jobs
from service.jobs import repository as job_rows
from service.jobs.admission import Admission
from service.jobs.least_memory import LeastMemory
from service.kit.strict_json import storable
from service.logging import get_logger
from service.models.sources import ModelSources
from service.planning.capacity import least_memory
from service.settings import Settings
from service.sweeps import operations as sweeps
from service.sweeps.operations import Admitted, Counted
from service.triggers import expressions, operations, repository, templates
from service.triggers.events import Event, Message, event_of, read
from service.triggers.expressions import BadExpression, Evaluator

log = get_logger(__name__)


@dataclass(frozen=True)
class Fired:
    """Outcome of an event; for a duplicate, the outcome of the first one."""

    firing: Firing
    job: Job | None = None
    sweep: Counted | None = None
    is_new: bool = False


@dataclass(frozen=True)
class Plan:
    """Dry run of an event."""

    event: Event
    matched: bool
    held_by: Firing | None
    spec: JobSpec | SweepSpec | None


class _AdmittedJob(NamedTuple):
    """Checked job, and the smallest memory in which it can run."""

    spec: JobSpec
    least: LeastMemory


class Firer:
    """Service that fires the triggers of one tenant."""

    def __init__(self, database: Database, settings: Settings, models: ModelSources, *, tenant: str) -> None:
        self._database, self._settings, self._models, self._tenant = database, settings, models, tenant

    def fire(self, trigger_id: UUID, message: Message) -> Fired:
        """Start the job or sweep of an event.

        Raises:
            HookNotFound; Conflict: the trigger is disabled.
            InvalidInput, UnsupportedMediaType, MalformedBody: the message is not an event.
            Problem: the job was refused, as in job creation; also logged.
        """
        trigger = hooks.get(self._database, Trigger, trigger_id, tenant=self._tenant)
        hooks.check_enabled(trigger)
        event = read(message, TriggerSource(trigger.source))
        if self._holder(trigger, event) is not None:
            return self._duplicate(trigger, event)
        try:
            evaluator = Evaluator(event.document())
            if not _matches(trigger, evaluator):
                return Fired(self._note(trigger, event, FiringOutcome.FILTERED))
            return self._start(trigger, event, self._admitted(trigger, evaluator))
        except Problem as problem:
            self._note_problem(trigger, event, problem)
            raise

    def plan(self, trigger_id: UUID, message: Message) -> Plan:
        """Return what `fire` would do, also for a disabled trigger, without writing anything. Raise what `fire` raises."""
        trigger = hooks.get(self._database, Trigger, trigger_id, tenant=self._tenant)
        event = read(message, TriggerSource(trigger.source))
        evaluator = Evaluator(event.document())
        matched, holder = _matches(trigger, evaluator), self._holder(trigger, event)
        admitted = self._admitted(trigger, evaluator) if matched and holder is None else None
        return Plan(event, matched, holder, admitted.spec if admitted else None)

    def replay(self, trigger_id: UUID, firing_id: UUID) -> Fired:
        """Start a job or sweep from a logged event, regardless of the filter and of earlier ones.

        Raises:
            NotFound; Conflict: the firing is a duplicate without an event, or the trigger is disabled.
            Problem: as for `fire`.
        """
        trigger = hooks.get(self._database, Trigger, trigger_id, tenant=self._tenant)
        hooks.check_enabled(trigger)
        old = operations.get_firing(self._database, trigger_id, firing_id, tenant=self._tenant)
        if old.event is None:
            raise Conflict(f"the firing is a duplicate; replay the firing {old.refers_to}")
        event = event_of(old.event)
        try:
            return self._start(trigger, event, self._admitted(trigger, Evaluator(old.event)), replayed=old.id)
        except Problem as problem:
            self._note_problem(trigger, event, problem, refers_to=old.id)
            raise

    def _admitted(self, trigger: Trigger, evaluator: Evaluator) -> _AdmittedJob | Admitted:
        spec = templates.fill(trigger.template, evaluator, trigger.id, operations.started_by(trigger))
        if isinstance(spec, SweepSpec):
            return sweeps.admit(self._models, self._settings, spec, tenant=self._tenant)
        admission = Admission(self._models, self._settings, tenant=self._tenant)
        job = admission.admit(spec)
        return _AdmittedJob(job, least_memory(job, admission.outline_of(spec.model)))

    def _start(self, trigger: Trigger, event: Event, admitted: _AdmittedJob | Admitted, *, replayed: UUID | None = None) -> Fired:
        with hooks.held(self._database, Trigger, trigger.id, self._tenant) as (session, _):
            firing = repository.hold(session, trigger.id, event, refers_to=replayed)
            if firing is None and replayed is not None:
                firing = repository.note(session, trigger.id, event, FiringOutcome.FIRED, refers_to=replayed)
            if firing is not None:
                self._add(session, firing, admitted)
                started = {"job_id": str(firing.job_id)} if firing.job_id else {"sweep_id": str(firing.sweep_id)}
                log.info("trigger_fired", trigger_id=str(trigger.id), firing_id=str(firing.id), **started)
                return self._fired(session, firing, is_new=True)
        return self._duplicate(trigger, event)

    def _add(self, session: Session, firing: Firing, admitted: _AdmittedJob | Admitted) -> None:
        if isinstance(admitted, Admitted):
            sweep, _ = sweeps.add(session, self._settings, admitted, tenant=self._tenant)
            firing.sweep_id = sweep.id
        else:
            spec, least = admitted
            firing.job_id = jobs.add(session, self._settings, spec, tenant=self._tenant, least=least).id

    def _holder(self, trigger: Trigger, event: Event) -> Firing | None:
        with self._database.begin() as session:
            return repository.holder(session, trigger.id, event)

    def _duplicate(self, trigger: Trigger, event: Event) -> Fired:
        with hooks.held(self._database, Trigger, trigger.id, self._tenant) as (session, _):
            first = repository.holder(session, trigger.id, event)
            if first is None:
                raise Unavailable("the event's log entry has just expired; send the event again")
            values = {"refers_to": first.id, "job_id": first.job_id, "sweep_id": first.sweep_id}
            repository.note(session, trigger.id, event, FiringOutcome.DUPLICATE, with_event=False, **values)
            return self._fired(session, first)

    def _fired(self, session: Session, firing: Firing, *, is_new: bool = False) -> Fired:
        job = job_rows.get(session, firing.job_id, tenant=self._tenant) if firing.job_id else None
        sweep = sweeps.counted(session, firing.sweep_id, tenant=self._tenant) if firing.sweep_id else None
        return Fired(firing, job, sweep, is_new=is_new)

    def _note(self, trigger: Trigger, event: Event, outcome: FiringOutcome, **values: Any) -> Firing:
        with hooks.held(self._database, Trigger, trigger.id, self._tenant) as (session, _):
            return repository.note(session, trigger.id, event, outcome, **values)

    def _note_problem(self, trigger: Trigger, event: Event, problem: Problem, *, refers_to: UUID | None = None) -> None:
        outcome = FiringOutcome.FAILED if problem.status >= 500 else FiringOutcome.REFUSED
        log.info("trigger_refused", trigger_id=str(trigger.id), outcome=outcome, problem=problem.type)
        if not isinstance(problem, hooks.HookNotFound):  # else trigger and log were deleted concurrently
            self._note(trigger, event, outcome, problem=storable(problem.body()), refers_to=refers_to)


def _matches(trigger: Trigger, evaluator: Evaluator) -> bool:
    try:
        return trigger.filter is None or evaluator.holds(expressions.parse(trigger.filter))
    except BadExpression as error:
        raise InvalidInput(f"the trigger's filter {error}") from None
