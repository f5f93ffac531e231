"""Events of a job in a table."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from service.cli.output import local_time, note, print_json, print_table
from service.cli.watching import news
from service.client import Event
from service.contract.states import EventType

_WITHOUT_DETAILS = (EventType.PAUSED, EventType.RESUMED, EventType.CANCEL_REQUESTED)
_AS_NEWS = (EventType.EVALUATED, EventType.GATE_FAILED)
"""Types whose data has lists of objects."""


def print_events(events: Iterable[Event], as_json: bool) -> None:
    """Print the events, oldest first; with `as_json` one line for each."""
    if as_json:
        for event in events:
            print_json(asdict(event))
        return
    rows = [(str(event.seq), local_time(event.created_at), event.type.replace("_", " "), _details(event)) for event in events]
    if rows:
        print_table(("#>", "time!", "event", "details"), rows)
    else:
        note("no events")


def _details(event: Event) -> str:
    if event.type in _WITHOUT_DETAILS:
        return ""
    return (news(event) or "") if event.type in _AS_NEWS else _plain(event.data)


def _plain(data: Mapping[str, Any]) -> str:
    """Return `block 3, seconds 1.25`: values that are neither empty nor objects."""
    shown = {name.replace("_", " "): value for name, value in data.items() if value is not None and not isinstance(value, dict)}
    return ", ".join(f"{name} {_value(value)}" for name, value in shown.items())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
