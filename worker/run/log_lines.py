"""Log lines of an attempt before they are written: rendering as text without secrets, and their bounds.

Of an attempt with too many lines the first ones are kept and the last ones, because a failure's traceback is at the end.
"""

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

from service.contract.logs import ATTEMPT_BYTES, LINE_BYTES, ROW_BYTES, TAIL_BYTES
from service.jobs.logs.repository import NewLine
from service.logging import formatter, redacted

_ABOUT: Final = frozenset(
    (
        "job_id",
        "attempt",
        "fence",
        "request_id",
        "trace_id",
        "span_id",
        "timestamp",
        "level",
        "logger",
        "event",
        "exception",
        "stack",
    )
)
"""Fields that the line's columns hold, that identify the attempt, or that are rendered separately."""
_OURS: Final = ("worker.", "service.", "__main__")
_CUT: Final = " … [line truncated]"


@dataclass(frozen=True)
class LogLine:
    """One line as it was logged."""

    level: int
    stage: str | None
    text: str
    at: float = field(default_factory=time.monotonic)

    @property
    def bytes(self) -> int:
        """Size that counts for the bounds."""
        return len(self.text.encode()) + ROW_BYTES

    def to_new(self) -> NewLine:
        """Return the line for the database."""
        return NewLine(self.level, self.stage, self.text, self.bytes, time.monotonic() - self.at)


def line_formatter() -> logging.Formatter:
    """Return a formatter that renders an event as `block_pruned block=3 total=30`, with a traceback below."""
    return formatter(_render)


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    name = str(event.get("logger") or "")
    source = "" if not name or f"{name}.".startswith(_OURS) else f"{name}: "
    fields = (f"{name}={_value(value)}" for name, value in event.items() if name not in _ABOUT)
    return "\n".join([" ".join([f"{source}{event.get('event', '')}", *fields]), *_trace(event)])


def _trace(event: EventDict) -> list[str]:
    return [str(event[part]) for part in ("stack", "exception") if event.get(part)]


def _value(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable() and not any(each in value for each in ' "='):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def bounded_lines(text: str, folders: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a text that tenants may read: no secrets, no paths of this machine, each of bounded length.

    Args:
        folders: replacements for the paths of folders, longer paths first.
    """
    text = redacted(text)  # first, because a secret may contain the path of a folder
    for folder, replacement in folders.items():
        text = text.replace(folder, replacement)
    for line in text.splitlines():
        if printable := "".join(each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in line):
            yield _cut(printable.rstrip())


def _cut(line: str) -> str:
    content = line.encode("utf-8", "replace")
    if len(content) <= LINE_BYTES:
        return content.decode()
    return content[: LINE_BYTES - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT


def import_folders() -> dict[str, str]:
    """Return replacements that shorten the paths of a traceback to `torch/nn/modules/linear.py`, longer ones first."""
    return {f"{folder}/": "" for folder in sorted(filter(None, {*sys.path}), key=len, reverse=True)}


class LineBuffer:
    """Lines that wait to be written, within the bytes that an attempt may keep; usable by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[LogLine] = deque()
        self._waiting = 0
        self._most_waiting = ATTEMPT_BYTES
        self._left_out = 0
        self._is_full = False

    def add(self, line: LogLine) -> None:
        """Append a line; the oldest waiting ones are left out if there are too many."""
        with self._lock:
            self._lines.append(line)
            self._waiting += line.bytes
            self._shrink()

    def _shrink(self) -> None:
        while self._waiting > self._most_waiting:
            self._waiting -= self._lines.popleft().bytes
            self._left_out += 1

    def take(self, room: int, most: int, *, is_end: bool) -> list[LogLine]:
        """Remove and return up to `most` lines within `room` bytes, of which the end of the attempt has a reserved part."""
        with self._lock:
            room -= 0 if is_end else TAIL_BYTES
            if self._is_full and not is_end:
                return []
            taken = self._marker() if self._lines else []
            while self._lines and len(taken) < most and (size := self._lines[0].bytes) <= room:
                taken.append(self._lines.popleft())
                self._waiting -= size
                room -= size
            if self._lines and len(taken) < most and not self._is_full:
                self._is_full, self._most_waiting = True, TAIL_BYTES
                taken.append(_note("log truncated: this attempt or the job has too many lines; the last ones follow at its end"))
                self._shrink()
            return taken

    def _marker(self) -> list[LogLine]:
        count, self._left_out = self._left_out, 0
        return [_note(f"log truncated: {count} lines are not kept")] if count else []

    def put_back(self, lines: Sequence[LogLine]) -> None:
        """Return lines that could not be written."""
        with self._lock:
            self._lines.extendleft(reversed(lines))
            self._waiting += sum(line.bytes for line in lines)
            self._shrink()


def _note(text: str) -> LogLine:
    return LogLine(logging.WARNING, None, text)
