"""Live view of a sweep: a table of its points on a terminal, otherwise a line per event."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from service.cli.output import note, print_json, printable, table_of
from service.cli.sweep_views import figure_text, points_table, points_text, print_answer, print_points, problems, shown_measures
from service.cli.watching import interruptible, with_glances
from service.client import Client, Event, SweepDetail
from service.client.sweeps import Point
from service.contract.states import TERMINAL_STATES
from service.contract.sweeps import SweepEventType, SweepState
from service.sweeps.wording import values_text

EXIT_STATUS: Final = {SweepState.FINISHED: 0, SweepState.FAILED: 1, SweepState.CANCELLED: 3}
_LINES_AROUND: Final = 7
"""Lines of the screen that the table's rows do not take."""
_NEWS: Final[Mapping[str, str]] = {
    SweepEventType.PAUSED: "paused; resume it with `dsnot sweeps resume`",
    SweepEventType.RESUMED: "resumed",
    SweepEventType.CANCEL_REQUESTED: "cancellation requested",
    SweepEventType.REOPENED: "a point is retried",
}


def watch_to_end(client: Client, sweep_id: str, *, as_json: bool) -> None:
    """Show a sweep until it has ended; exit with the status of its outcome."""
    with interruptible(f"dsnot sweeps watch {sweep_id}"):
        sweep = _watched(client, sweep_id, as_json)
    if as_json:
        print_json({"type": "end", "sweep": sweep.model_dump(mode="json", exclude_unset=True)})
    else:
        print_points(sweep)
        print_answer(sweep)
        for line in problems(sweep):
            note(line)
        note(f"sweep {sweep.id} {sweep.state}")
    raise typer.Exit(EXIT_STATUS.get(sweep.state, 1))


def _watched(client: Client, sweep_id: str, as_json: bool) -> SweepDetail:
    """Show what happens until the sweep has ended, and return the sweep."""
    if not as_json:
        return follow(client, sweep_id)
    for event in client.sweeps.events(sweep_id):
        print_json(asdict(event))
    return client.sweeps.get(sweep_id)


def follow(client: Client, sweep_id: str) -> SweepDetail:
    """Show the points on standard error until the sweep has ended."""
    console = Console(stderr=True)
    sweep = client.sweeps.get(sweep_id)
    with _Table(console) if console.is_terminal else _Lines() as view:
        for event in with_glances(client.sweeps.events(sweep_id)):
            if not _is_shown_in(sweep, event):
                sweep = client.sweeps.get(sweep_id)
            if event is not None:
                view.happened(event, sweep)
            view.show(sweep)
    return client.sweeps.get(sweep_id)


def _is_shown_in(sweep: SweepDetail, event: Event | None) -> bool:
    """Return whether the sweep was read after the event, so that a burst of events needs one request only."""
    if event is None:
        return False
    point = _point(sweep, event)
    return sweep.has_ended or (point is not None and point.state in TERMINAL_STATES)


def _point(sweep: SweepDetail, event: Event) -> Point | None:
    return next((point for point in sweep.table if point.job_id == event.data.get("job_id")), None)


def news(event: Event, sweep: SweepDetail) -> str | None:
    """Return the line to show for an event, or None."""
    place = f"point {event.data.get('position')} ({values_text(event.data.get('values') or {})})"
    match event.type:
        case SweepEventType.CREATED:
            return f"created: {sweep.name or sweep.model}"
        case SweepEventType.POINT_ADDED:
            return f"{place} added"
        case SweepEventType.POINT_ENDED:
            return f"{place} {event.data.get('state')}{_found(sweep, _point(sweep, event))}"
    return _NEWS.get(event.type)


def _found(sweep: SweepDetail, point: Point | None) -> str:
    """Return `: perplexity 30.100 (1.105×)`, or why the point failed."""
    if point is None:
        return ""
    if point.error:
        return f": {point.error.detail or point.error.code.sentence}"
    name = next((name for name in shown_measures(sweep) if name in point.figures), None)
    return f": {name.partition(':')[0]} {figure_text(name, point.figures[name], sweep.dense)}" if name else ""


class _Table:
    """Table of the points on a terminal, with as many rows as fit it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, transient=True)

    def __enter__(self) -> "_Table":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def happened(self, event: Event, sweep: SweepDetail) -> None:
        if event.type in _NEWS and (text := news(event, sweep)):
            self._live.console.print(printable(text), highlight=False, markup=False)

    def show(self, sweep: SweepDetail) -> None:
        self._live.update(_rendered(sweep, self._live.console.height - _LINES_AROUND), refresh=True)


def _rendered(sweep: SweepDetail, room: int) -> RenderableType:
    """Return the points around the first unfinished one, and the state of the whole."""
    unfinished = [index for index, point in enumerate(sweep.table) if point.state not in TERMINAL_STATES]
    room = max(1, room)
    first = max(0, min((unfinished or [len(sweep.table)])[0] - room // 2, len(sweep.table) - room))
    columns, rows = points_table(sweep, sweep.table[first : first + room])
    lines = [f"{sweep.state}: {points_text(sweep)}"] + ([sweep.search.text] if sweep.search else [])
    return Group(table_of(columns, rows), Text(printable("\n".join(lines))))


class _Lines:
    """A line for each event, and one for each bracket of a search."""

    def __init__(self) -> None:
        self._last = ""

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None: ...

    def happened(self, event: Event, sweep: SweepDetail) -> None:
        if text := news(event, sweep):
            note(text)

    def show(self, sweep: SweepDetail) -> None:
        search = sweep.search
        if search and search.end is None and (search.answer or search.next) and search.text != self._last:
            self._last = search.text
            note(search.text)
