"""Settings of pytest, pytest-xdist and Hypothesis for all tests; shared fixtures are in `tests/support/fixtures.py`."""

from hypothesis import settings

pytest_plugins = ["tests.support.fixtures"]

settings.register_profile("dsnot", deadline=None)  # no test depends on the speed of the machine
settings.load_profile("dsnot")
