# generated from aio/ by `make client`; do not edit
"""Events of jobs and sweeps: live (Server-Sent Events), and those so far."""

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent

from service.client.answers import StageProgress
from service.client.blocking.http import Calls, Http, Listing
from service.client.errors import ApiError, Unreachable, parsed
from service.client.events import Event, check_stream, event_of
from service.client.patience import RetryBudget, Trouble
from service.client.request import Query, path_to

_END: Final = "end"
_PROGRESS: Final = "progress"
_SECONDS_UNAVAILABLE: Final = 60.0
"""Seconds that the service may be unavailable before a stream fails."""


class Numbered(Protocol):
    """Event or log line."""

    @property
    def seq(self) -> int:
        """Number."""


Item = TypeVar("Item", bound=Numbered)
Report = TypeVar("Report")
Read = TypeVar("Read")


def follow(
    http: Http,
    path: str,
    after: int,
    read: Callable[[Any], Item],
    query: Query | None = None,
    *,
    progress: Callable[[Any], Report] | None = None,
) -> Generator[Item | Report]:
    """Yield every item above number `after`, live, each once and in order, until the stream's end; reconnect if it breaks.

    Messages `progress`, which have no number, are read by `progress`, or skipped.
    """
    patience = RetryBudget(_SECONDS_UNAVAILABLE)
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        try:
            with http.stream(path, headers, query) as response:
                check_stream(response)
                for message in EventSource(response).iter_sse():
                    patience.restart()
                    if not message.data:
                        continue  # a keep-alive: httpx-sse makes a message of a comment behind an id
                    if message.event == _END:
                        return
                    if message.event == _PROGRESS:
                        if progress is not None:
                            yield parsed(response, partial(_read_message, message, progress))
                        continue
                    item = parsed(response, partial(_read_message, message, read))
                    if item.seq > after:
                        after = item.seq
                        yield item
            trouble: Trouble = Unreachable(http.url, "the stream ended early")
        except httpx.RequestError as error:
            trouble = Unreachable(http.url, error)
        except ApiError as error:
            trouble = error
        time.sleep(patience.pause_after(trouble))


def _read_message(message: ServerSentEvent, read: Callable[[Any], Read]) -> Read:
    return read(message.json())


class EventCalls(Calls):
    """Events of a job."""

    def events(self, job_id: str, after: int = 0) -> Generator[Event]:
        """Yield every event above number `after`, live, each once and in order, until the job has ended.

        Reconnects after a lost connection.
        """
        return follow(self._http, path_to("jobs", job_id, "events"), after, event_of)

    def live(self, job_id: str, after: int = 0) -> Generator[Event | StageProgress]:
        """Yield every event as `events` does, and what has been done within the stage, at most once a second."""
        path = path_to("jobs", job_id, "events")
        return follow(self._http, path, after, event_of, {"progress": "true"}, progress=StageProgress.model_validate)

    def list_events(self, job_id: str, *, after: int = 0) -> Listing[Event]:
        """List the events above number `after` that have happened so far."""
        return self._http.items(event_of, path_to("jobs", job_id, "events"), {"after": after})
