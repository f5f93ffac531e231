"""Progress of a job on one line, in terminals and notebooks."""

import sys
from typing import Literal

from service.client.answers import Job
from service.client.job_text import progress_line

ShowProgress = Literal["auto"] | bool


class ProgressLine:
    """Line on standard error that is rewritten while a job runs; `close` ends it."""

    def __init__(self, show: ShowProgress) -> None:
        """`auto`: only on a terminal or in a notebook."""
        self.is_shown = (sys.stderr.isatty() or "ipykernel" in sys.modules) if show == "auto" else show
        self._width = 0

    def show(self, job: Job) -> None:
        """Rewrite the line."""
        if not self.is_shown:
            return
        line = progress_line(job)
        sys.stderr.write(f"\r{line:<{self._width}}")
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        """End the line, if it has been written."""
        if self._width:
            sys.stderr.write("\n")
