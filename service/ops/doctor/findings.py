"""Findings of checks, and their concurrent execution with a timeout."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Final

from service.ops.reasons import reason_of

_SECONDS: Final = 5.0
"""Timeout of all checks, which run concurrently."""


class Verdict(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """Remedy; empty if the verdict is ok."""


@dataclass(frozen=True)
class Check:
    """One check: `look` returns a finding or raises."""

    name: str
    look: Callable[[], Finding]
    remedy: str
    """Remedy if `look` raises or hangs."""


def ok(check: str, found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, remedy: str) -> Finding:
    """Return a finding that does not stop jobs."""
    return Finding(check, Verdict.WARN, found, remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    """Return a finding that needs repair."""
    return Finding(check, Verdict.FAIL, found, remedy)


def carry_out(checks: Sequence[Check]) -> list[Finding]:
    """Run all checks concurrently and return their findings in order; one that hangs or raises is a failed finding."""
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
        return fail(check.name, reason_of(error), check.remedy)
