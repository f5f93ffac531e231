"""Log lines before they are written: rendering, redaction and bounds."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from service.contract.logs import ATTEMPT_BYTES, JOB_BYTES, LINE_BYTES, ROW_BYTES, TAIL_BYTES, LogLevel
from service.logging import configure_logging, get_logger, hide
from worker.run.log_lines import LineBuffer, LogLine, bounded_lines, import_folders, line_formatter

SECRET = "Zq8vT2mN4xR7"
MOST = 500


class Collector(logging.Handler):
    """A handler that renders as an attempt's log does."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(line_formatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += bounded_lines(self.format(record), import_folders())


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("service.logging._secrets", ())
    configure_logging("INFO", "json", [SECRET])
    collector = Collector()
    root.addHandler(collector)
    yield collector
    root.handlers = handlers
    root.setLevel(level)


def test_an_event_is_one_line_with_its_fields(collected: Collector) -> None:
    get_logger("worker.run.progress").info("block_pruned", block=3, reason="two words", sizes={"a": 1}, nothing=None)
    assert collected.lines == ['block_pruned block=3 reason="two words" sizes={"a": 1} nothing=null']


def test_a_library_s_line_names_its_logger(collected: Collector) -> None:
    logging.getLogger("library.modeling").warning("weights of %s are tied", "lm_head")
    assert collected.lines == ["library.modeling: weights of lm_head are tied"]


@pytest.mark.parametrize(
    "log",
    [
        lambda: get_logger("worker.x").info("configured", options={"nested": [SECRET]}),
        lambda: get_logger("worker.x").info("opened", url=f"postgresql://dsnot:{SECRET}@db/jobs"),
        lambda: get_logger("worker.x").info("signed_in", hub_token=SECRET),
        lambda: get_logger("worker.x").info("called", headers={"x": f"dsnot_abcdefghijkl_{SECRET}"}),
        lambda: logging.getLogger("library").warning("bad header %s", f"hf_{SECRET}"),
        lambda: failing(SECRET),
    ],
)
def test_no_line_contains_a_secret(collected: Collector, log: Any) -> None:
    log()
    assert collected.lines
    assert SECRET not in "\n".join(collected.lines)
    assert "[redacted]" in "\n".join(collected.lines)


def failing(text: str) -> None:
    try:
        raise RuntimeError(f"refused {text}")
    except RuntimeError:
        get_logger("worker.x").exception("run_failed")


def test_a_secret_that_was_read_later_is_redacted_from_then_on(collected: Collector) -> None:
    hide("another-secret-token")
    get_logger("worker.x").info("sent", text="with another-secret-token")
    assert collected.lines == ['sent text="with [redacted]"']


def test_a_traceback_is_below_its_event_without_paths_of_the_machine(collected: Collector) -> None:
    failing("it")
    first, *trace = collected.lines
    assert first == "run_failed"
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "RuntimeError: refused it"
    assert any('File "tests/unit/worker/run/test_log_lines.py"' in line for line in trace), trace


def test_folders_of_the_machine_are_replaced() -> None:
    folders = {"/var/cache/dsnot": "<cache>"}
    assert [*bounded_lines("no file /var/cache/dsnot/scratch/x", folders)] == ["no file <cache>/scratch/x"]


def test_a_line_is_cut_at_its_bound_and_stays_text() -> None:
    (line,) = bounded_lines("é" * LINE_BYTES, {})
    assert len(line.encode()) <= LINE_BYTES
    assert line.endswith("… [line truncated]")


def test_what_controls_a_terminal_or_is_no_text_is_replaced() -> None:
    assert [*bounded_lines("a\x1b[31m\x00b\ud800c\n\n  \nd\te", {})] == ["a\ufffd[31m\ufffdb\ufffdc", "", "d\te"]


def lines(count: int, size: int = 1000) -> list[LogLine]:
    return [LogLine(logging.INFO, None, f"{number} ".ljust(size - ROW_BYTES, ".")) for number in range(count)]


def filled(count: int) -> LineBuffer:
    buffer = LineBuffer()
    for line in lines(count):
        buffer.add(line)
    return buffer


def drained(buffer: LineBuffer, room: int, *, is_end: bool) -> list[LogLine]:
    found: list[LogLine] = []
    while taken := buffer.take(room - sum(line.bytes for line in found), MOST, is_end=is_end):
        found += taken
    return found


def numbers(found: list[LogLine]) -> list[int | str]:
    return [int(number) if (number := line.text.partition(" ")[0]).isdigit() else line.text for line in found]


def test_lines_within_the_bounds_are_taken_once_and_in_order() -> None:
    buffer = filled(700)
    assert numbers(drained(buffer, ATTEMPT_BYTES, is_end=False)) == [*range(700)]
    assert drained(buffer, ATTEMPT_BYTES, is_end=True) == []


def test_an_attempt_keeps_its_first_and_its_last_lines_and_says_what_is_missing() -> None:
    room = 200_000
    buffer, count = filled(500), (room - TAIL_BYTES) // 1000
    first = numbers(drained(buffer, room, is_end=False))
    assert first[:-1] == [*range(count)]
    assert str(first[-1]).startswith("log truncated: ")
    for line in lines(900)[500:]:
        buffer.add(line)
        assert buffer.take(room, MOST, is_end=False) == []
    marker, *last = numbers(drained(buffer, room - 1000 * count, is_end=True))
    assert last == [*range(900 - TAIL_BYTES // 1000, 900)]
    assert marker == f"log truncated: {900 - count - len(last)} lines are not kept"


def test_everything_taken_fits_into_the_room_but_for_the_markers() -> None:
    buffer = filled(2000)
    found = [*drained(buffer, ATTEMPT_BYTES, is_end=False), *drained(buffer, TAIL_BYTES, is_end=True)]
    assert sum(line.bytes for line in found if not line.text.startswith("log truncated")) <= ATTEMPT_BYTES
    assert sum(line.text.startswith("log truncated") for line in found) in (1, 2, 3)


def test_a_job_without_room_gets_markers_only() -> None:
    found = drained(filled(3), 0, is_end=True)
    assert [line.text.partition(":")[0] for line in found] == ["log truncated"]


def test_lines_of_a_long_outage_are_bounded_and_their_loss_is_said() -> None:
    buffer = filled(700)
    taken = buffer.take(ATTEMPT_BYTES, MOST, is_end=False)
    buffer.put_back(taken)
    for line in lines(3000)[700:]:
        buffer.add(line)
    marker, *found = numbers(buffer.take(ATTEMPT_BYTES, 5000, is_end=False))
    assert marker == f"log truncated: {3000 - ATTEMPT_BYTES // 1000} lines are not kept"
    assert found[0] == 3000 - ATTEMPT_BYTES // 1000


def test_lines_that_were_put_back_come_first() -> None:
    buffer = filled(10)
    buffer.put_back(buffer.take(ATTEMPT_BYTES, 5, is_end=False))
    assert numbers(buffer.take(ATTEMPT_BYTES, 20, is_end=False)) == [*range(10)]


def test_the_bounds_are_nested() -> None:
    assert LINE_BYTES < TAIL_BYTES < ATTEMPT_BYTES < JOB_BYTES


@pytest.mark.parametrize(("number", "level"), [(0, "debug"), (10, "debug"), (25, "info"), (30, "warning"), (60, "critical")])
def test_a_number_belongs_to_the_level_that_it_reaches(number: int, level: str) -> None:
    assert LogLevel.of(number) == level
