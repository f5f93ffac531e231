"""What a check found, and running checks so that one that hangs or fails does not stop the others."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Final

from service.logging import redacted

_SECONDS: Final = 5.0
"""For all checks together, which run at once."""


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """The answer of one check."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """What to do about it; empty if all is well."""


@dataclass(frozen=True)
class Check:
    """Something to look at: `look` returns what it found, or raises."""

    name: str
    look: Callable[[], Finding]
    remedy: str
    """What to do if it raises."""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARN, found, remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAIL, found, remedy)


def carry_out(checks: Sequence[Check]) -> list[Finding]:
    """A finding for each, in their order, within seconds."""
    threads = ThreadPoolExecutor(len(checks) or 1, thread_name_prefix="doctor")
    until = monotonic() + _SECONDS
    running = [(check, threads.submit(check.look)) for check in checks]
    findings = [_finding(check, future, until - monotonic()) for check, future in running]
    threads.shutdown(wait=False, cancel_futures=True)
    return findings


def _finding(check: Check, future: "Future[Finding]", seconds: float) -> Finding:
    try:
        return future.result(max(seconds, 0))
    except TimeoutError:
        return fail(check.name, f"no answer within {_SECONDS:.0f} s", check.remedy)
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return fail(check.name, redacted(lines[0]) if lines else type(error).__name__, check.remedy)
