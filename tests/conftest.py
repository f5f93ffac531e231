"""Settings of pytest, pytest-xdist and Hypothesis for all tests; shared fixtures are in `tests/support/fixtures.py`."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import structlog
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import settings

from tests.support.size import IS_FULL
from tests.support.waiting import CEILING_SECONDS

pytest_plugins = ["tests.support.fixtures"]

os.environ.setdefault("OMP_NUM_THREADS", "1")  # matrices of this size are slower on several threads, also in child processes

settings.register_profile("default", deadline=None, max_examples=30)  # no test depends on the speed of the machine
settings.register_profile("full", deadline=None, max_examples=100)
settings.load_profile("full" if IS_FULL else "default")

# the default of 5 s is too short for an answer of a busy machine
DEFAULT_TIMEOUT_CONFIG.connect = DEFAULT_TIMEOUT_CONFIG.read = CEILING_SECONDS
DEFAULT_TIMEOUT_CONFIG.write = DEFAULT_TIMEOUT_CONFIG.pool = CEILING_SECONDS

# the default writes the local variables of every frame, which takes 14 s for one failed request
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

_ROOT = Path(__file__).parent.parent
_SLOWEST_FIRST = ("faults", "browser", "integration", "unit", "runtime")
_RESULTS = _ROOT / "test-results"
_PROCESS_BYTES = 3 << 30
"""Memory of one pytest process with its servers and workers."""


def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two cores, for tests wait as well as compute; fewer where memory is short.

    On two cores, four took a tenth longer than three.
    """
    cores = len(os.sched_getaffinity(0))
    return int(max(1, min(3 * cores // 2, psutil.virtual_memory().total // _PROCESS_BYTES)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every process of pytest-xdist an equal part of each folder, and have it begin with the slow ones.

    The processes start with equal slices of the list and steal from the end of each other's slices.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    by_folder: dict[str, list[pytest.Item]] = {name: [] for name in _SLOWEST_FIRST}
    for item in items:
        top, below, *_ = item.path.relative_to(_ROOT).parts
        by_folder.setdefault(below if top == "tests" else top, []).append(item)
    items[:] = [
        item
        for process in range(processes)
        for tests in by_folder.values()
        for item in tests[len(tests) * process // processes : len(tests) * (process + 1) // processes]
    ]


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what was imported: it took a fifth of the tests' processor time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Write the seconds of every test, the slowest first."""
    spent: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent[report.nodeid] = spent.get(report.nodeid, 0) + report.duration
    _RESULTS.mkdir(exist_ok=True)
    lines = [f"{seconds:9.2f} {test}\n" for test, seconds in sorted(spent.items(), key=lambda entry: -entry[1])]
    (_RESULTS / "durations.txt").write_text("".join(lines))
    return (yield)
