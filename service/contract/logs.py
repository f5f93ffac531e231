"""Log lines of a job: their levels, and the bounds of what is kept of an attempt and of a job."""

import logging
from enum import StrEnum
from typing import Final

LINE_BYTES: Final = 4096
"""Longest kept line: a library's warning fits, a dumped tensor or a file's content does not."""
ROW_BYTES: Final = 100
"""Bytes of the database that a line takes besides its text, counted so that empty lines are bounded as well."""
ATTEMPT_BYTES: Final = 1 << 20
"""Kept of one attempt, about 6,000 lines of usual length; a run of 80 blocks writes about 120."""
TAIL_BYTES: Final = 64 << 10
"""Part of that for the last lines of a truncated attempt, because a failure's traceback is at the end."""
JOB_BYTES: Final = 4 << 20
"""Kept of one job with all its attempts, which pauses and resumes can make arbitrarily many."""


class LogLevel(StrEnum):
    """Severity of a log line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def number(self) -> int:
        """Number of the level in the `logging` module; a higher one is more severe."""
        return logging.getLevelNamesMapping()[self.upper()]

    @classmethod
    def of(cls, number: int) -> "LogLevel":
        """Return the level of a number, which a library may have placed between two levels."""
        return max((level for level in cls if level.number <= number), key=lambda level: level.number, default=cls.DEBUG)
