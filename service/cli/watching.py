"""Live view of a job: a progress bar on a terminal, otherwise a line per stage; notable events above it."""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.cli.job_views import print_outcome, progress_text, ratio, task_rows
from service.cli.logs import last_lines
from service.cli.output import duration, note, print_json, printable
from service.client import Client, Event, Job
from service.contract.gates import gate_text
from service.contract.states import EventType, JobState
from service.kit.quantities import about, figure

T = TypeVar("T")
_GLANCE_SECONDS: Final = 1.0
_READ_SECONDS: Final = 60.0
"""Interval of reading the job without an event, for its place in the queue and the expected end."""

GATE_FAILED: Final = 4
"""Exit status of a job that succeeded and misses a gate."""
EXIT_STATUS = {JobState.SUCCEEDED: 0, JobState.FAILED: 1, JobState.EXPIRED: 1, JobState.CANCELLED: 3}


def watch_to_end(client: Client, job_id: str, as_json: bool) -> None:
    """Show a job until it has ended; exit with the status of its outcome."""
    with interruptible(f"dsnot jobs watch {job_id}"):
        if as_json:
            for event in client.jobs.events(job_id):
                print_json(asdict(event))
            job = client.jobs.get(job_id)
            print_json({"type": "end", "job": job.model_dump(mode="json")})
        else:
            job = follow(client, job_id)
            print_outcome(job)
            for line in last_lines(client, job):
                note(line)
    raise typer.Exit(exit_status(job))


def exit_status(job: Job) -> int:
    """Return the exit status for the outcome of a job that has ended."""
    return GATE_FAILED if job.gates_passed is False else EXIT_STATUS[job.state]


@contextmanager
def interruptible(again: str) -> Iterator[None]:
    """Exit with status 130 at Ctrl-C, with a message that the work continues and how to watch it again."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"no longer watching; the work continues, watch it again with\n  {again}")
        raise typer.Exit(130) from None


def follow(client: Client, job_id: str, meanwhile: Callable[[], None] = lambda: None) -> Job:
    """Show progress on standard error until the job has ended: a progress bar on a terminal, else a line per stage.

    `meanwhile` is called about once a second; an exception that it raises ends the view.
    """
    console = Console(stderr=True)
    view = _Bar(console) if console.is_terminal else _Lines()
    job, read_at = client.jobs.get(job_id), time.monotonic()
    with view:
        for item in with_glances(client.jobs.live(job_id)):
            if isinstance(item, Event):
                view.happened(item)
                read_at = -math.inf
            elif item is not None:
                job = job.model_copy(update={"stage": item.stage, "progress": item})
            else:
                meanwhile()
                if time.monotonic() - read_at >= _READ_SECONDS:
                    job, read_at = client.jobs.get(job_id), time.monotonic()
                view.show(job)
    return client.jobs.get(job_id)


def with_glances(items: Iterable[T]) -> Iterator[T | None]:
    """Yield each item when it arrives, and None once a second."""
    arrived: queue.Queue[T | Exception | None] = queue.Queue()

    def listen() -> None:
        try:
            for item in items:
                arrived.put(item)
            arrived.put(None)
        except Exception as error:  # handed to the other thread
            arrived.put(error)

    threading.Thread(target=listen, daemon=True).start()
    glance_at = time.monotonic()
    while True:
        try:
            item = arrived.get(timeout=max(0.0, glance_at - time.monotonic()))
        except queue.Empty:
            yield None
            glance_at = time.monotonic() + _GLANCE_SECONDS
            continue
        if isinstance(item, Exception):
            raise item
        if item is None:
            return
        yield item


def news(event: Event) -> str | None:
    """Return the line to show for an event, or None."""
    match event.type:
        case EventType.STAGE_STARTED:
            return str(event.data.get("stage"))
        case EventType.ATTEMPT_STARTED:
            return f"attempt {event.data.get('attempt')}"
        case EventType.EVALUATED:
            return f"{event.data.get('model')} {_found(event.data)}"
        case EventType.GATE_FAILED:
            return "; ".join(f"gate {gate_text(gate)}" for gate in event.data.get("gates", []))
        case EventType.REQUEUED:
            return f"queued again: {event.data.get('reason')}"
        case EventType.PAUSED:
            return "paused; resume it with `dsnot jobs resume`"
        case EventType.RESUMED:
            return "resumed"
        case EventType.CANCEL_REQUESTED:
            return "cancellation requested"
    return None


def _found(data: dict[str, Any]) -> str:
    """Return the results of tasks, which are measured last, or else the perplexities."""
    if tasks := data.get("tasks"):
        return ", ".join(f"{label} {found}" for label, found in task_rows([{"tasks": tasks}]))
    return f"perplexity {', '.join(map(_perplexity, data.get('perplexity', [])))}"


def _perplexity(measured: dict[str, Any]) -> str:
    """Return the perplexity, and for a pruned model its ratio to the dense one's."""
    earlier = " (measured by an earlier job)" if measured.get("cached") else ""
    times_dense = f", {found} of the dense model's" if (found := ratio(measured)) else ""
    return f"{figure(measured['perplexity'])} on {measured['dataset']}{times_dense}{earlier}"


class _Bar:
    """Progress bar on a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[how_far]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("queued", total=None, how_far="", left="")

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def happened(self, event: Event) -> None:
        if (text := news(event)) and event.type != EventType.STAGE_STARTED:  # the moving line names the stage
            self._progress.console.print(printable(text), highlight=False, markup=False)

    def show(self, job: Job) -> None:
        progress = job.progress
        self._progress.update(
            self._task,
            description=job.stage or job.state,
            completed=progress.done if progress else 0,
            total=progress.total if progress else None,
            how_far=progress_text(progress) if progress else "",
            left=left(job),
        )


class _Lines:
    """A line for each stage, and one for each state in which the job waits."""

    def __init__(self) -> None:
        self._last = ""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def happened(self, event: Event) -> None:
        if text := news(event):
            note(text)

    def show(self, job: Job) -> None:
        if job.stage is None and not job.has_ended and job.state not in (self._last, JobState.RUNNING):
            self._last = job.state
            note(f"{job.state}  {left(job)}".rstrip())


def left(job: Job) -> str:
    """Return the time left of the job with its range, or why it is unknown; nothing else estimates it."""
    if job.state == JobState.QUEUED and job.queue_position:
        starts = _until(job.eta.starts_at) if job.eta else None
        return f"place {job.queue_position}" + (f", starts in about {duration(starts)}" if starts else "")
    if job.has_ended or job.eta is None:
        return ""
    whole = _until(job.eta.ends_at)
    if not whole:
        return job.eta.note or ""
    return f"{about(whole, _until(job.eta.ends_earliest_at), _until(job.eta.ends_latest_at))} left"


def _until(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())
