"""How the tests are shared among processes (`make test JOBS=2`).

The tests of a file stay together, for the servers that they share. So do all those of `faults`, which stop servers and kill
workers, and all those of `browser`, which share one Chromium.
"""

from pathlib import Path

import pytest

_TOGETHER = ("browser", "faults")
_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tell pytest-xdist, where it is at work, which tests one process has to run."""
    if config.pluginmanager.has_plugin("dsession") or hasattr(config, "workerinput"):
        for item in items:
            path = item.path.relative_to(_TESTS)
            item.add_marker(pytest.mark.xdist_group(path.parts[0] if path.parts[0] in _TOGETHER else path.as_posix()))
