"""The live view of a job: a line per stage in a file, one moving line on a terminal."""

import io
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from service.cli import watching
from service.cli.job_events import print_events
from service.client import Client, Event, Job, StageProgress
from service.contract.states import EventType

BLOCKS = [
    {"stage": "pruning", "progress": {"done": done, "total": 3, "unit": "blocks", "eta_seconds": None}} for done in (1, 2, 3)
]
WINDOWS = [
    {"stage": "evaluating", "progress": {"done": done, "total": 2, "unit": "windows", "eta_seconds": None}} for done in (1, 2)
]
VIEWS: list[dict[str, Any]] = [{"state": "queued", "queue_position": 1}, {}, *BLOCKS, *WINDOWS, {"state": "succeeded"}]
EVENTS: dict[int, tuple[EventType, dict[str, Any]]] = {
    2: (EventType.STAGE_STARTED, {"stage": "pruning"}),
    5: (EventType.STAGE_STARTED, {"stage": "evaluating"}),
    7: (EventType.EVALUATED, {"model": "pruned", "perplexity": [{"dataset": "wiki-sample:test", "perplexity": 30.0}]}),
}


class _Client(Client):
    """A service whose job takes one step for each event that is read."""

    def __init__(self) -> None:
        self._step = 0
        self.read = 0
        self.jobs = self  # type: ignore[assignment]

    def live(self, *_: object, **__: object) -> Generator[Event | StageProgress | None]:
        for step in range(len(VIEWS)):
            self._step = step
            event, data = EVENTS.get(step, (EventType.BLOCK_PRUNED, {}))
            yield Event(step + 1, event, data)
            yield None  # a glance

    def get(self, *_: object, **__: object) -> Job:
        self.read += 1
        facts = {"id": "1", "state": "running", "spec": {}, "created_at": datetime.now(UTC)}
        return Job.model_validate(facts | VIEWS[self._step])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> _Client:
    client = _Client()
    monkeypatch.setattr(watching, "with_glances", iter)  # without the thread that reads all events before the first view
    return client


def test_output_to_a_file_has_one_line_per_stage(client: _Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert watching.follow(client, "1").state == "succeeded"
    expected = ["queued  place 1", "pruning", "evaluating", "pruned perplexity 30.00 on wiki-sample:test"]
    assert capsys.readouterr().err.splitlines() == expected


def test_a_terminal_has_one_line_with_block_and_window_progress(client: _Client, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(watching, "Console", lambda **_: screen)
    seen: list[str] = []
    shown = watching._Bar.show

    def show_and_read(bar: watching._Bar, job: Job) -> None:
        shown(bar, job)
        with screen.capture() as captured:
            screen.print(bar._progress.get_renderable())
        seen.append(captured.get())

    monkeypatch.setattr(watching._Bar, "show", show_and_read)
    watching.follow(client, "1")
    assert all(text.count("\n") == 1 for text in seen)
    for text, expected in zip(seen[2:], ["1 of 3 blocks", "2 of 3 blocks", "3 of 3 blocks", "1 of 2 windows"], strict=False):
        assert expected in text
    assert "pruning" in seen[2]
    assert "evaluating" in seen[5]


class _Reporting(_Client):
    """A service whose job has one event, and then reports its progress."""

    def live(self, *_: object, **__: object) -> Generator[Event | StageProgress | None]:
        yield Event(1, EventType.STAGE_STARTED, {"stage": "pruning"})
        yield None
        for done in range(50):
            yield StageProgress.model_validate({"stage": "pruning", "done": done, "total": 50, "unit": "blocks"})
            yield None


def test_progress_is_shown_as_it_is_reported_without_reading_the_job_again(
    client: _Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    del client
    reporting, shown = _Reporting(), []
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(watching, "Console", lambda **_: screen)
    monkeypatch.setattr(watching._Bar, "show", lambda _, job: shown.append(job.progress and job.progress.done))
    watching.follow(reporting, "1")
    assert shown == [None, *range(50)]
    assert reporting.read == 3  # at first, after the event, and at the end


def test_a_missed_gate_is_a_sentence_in_the_list_of_events(capsys: pytest.CaptureFixture[str]) -> None:
    gate = {"metric": "perplexity", "text": "perplexity at most 9", "judge_by": "mean", "value": 9.5, "passed": False}
    print_events([Event(1, EventType.GATE_FAILED, {"gates": [gate]}, datetime.now(UTC))], as_json=False)
    shown = capsys.readouterr().out
    assert "gate missed: perplexity at most 9 (9.5)" in shown
    assert "{" not in shown
