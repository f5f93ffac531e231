# generated from aio/ by `make client`; do not edit
"""Log lines of jobs: live (Server-Sent Events), and those so far."""

from collections.abc import Generator

from service.client.blocking.events import follow
from service.client.blocking.http import Calls, Listing
from service.client.logs import LogLine, query_of
from service.client.request import path_to
from service.contract.logs import LogLevel


class LogCalls(Calls):
    """Log of a job: what its workers and their libraries have logged while they ran it."""

    def logs(
        self,
        job_id: str,
        after: int = 0,
        *,
        attempt: int | None = None,
        level: LogLevel | str | None = None,
        tail: int | None = None,
    ) -> Generator[LogLine]:
        """Yield every line above number `after`, live, each once and in order, until the job has ended.

        `attempt`: only lines of this attempt. `level`: minimum level, such as `warning`. `tail`: begin with the last
        lines, at most 1000 of them. Reconnects after a lost connection.
        """
        path, query = path_to("jobs", job_id, "logs"), query_of(attempt, level, tail)
        return follow(self._http, path, after, LogLine.model_validate, query)

    def list_logs(
        self,
        job_id: str,
        *,
        after: int = 0,
        attempt: int | None = None,
        level: LogLevel | str | None = None,
        tail: int | None = None,
    ) -> Listing[LogLine]:
        """List the lines above number `after` that have been stored so far; the other arguments are those of `logs`."""
        query = {"after": after, **query_of(attempt, level, tail)}
        return self._http.items(LogLine.model_validate, path_to("jobs", job_id, "logs"), query)
