# generated from aio/ by `make client`; do not edit
"""Events of jobs and sweeps: live (Server-Sent Events), and those so far."""

import time
from collections.abc import Generator
from functools import partial
from typing import Final

import httpx
from httpx_sse import EventSource

from service.client.blocking.http import Calls, Http, Listing
from service.client.errors import ApiError, Unreachable, parsed
from service.client.events import Event, check_stream, event_in, event_of
from service.client.patience import RetryBudget, Trouble
from service.client.request import path_to

_END: Final = "end"
_SECONDS_UNAVAILABLE: Final = 60.0
"""Seconds that the service may be unavailable before a stream fails."""


def follow(http: Http, path: str, after: int) -> Generator[Event]:
    """Yield every event above number `after`, live, each once and in order, until the stream's end; reconnect if it breaks."""
    patience = RetryBudget(_SECONDS_UNAVAILABLE)
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        try:
            with http.stream(path, headers) as response:
                check_stream(response)
                for message in EventSource(response).iter_sse():
                    patience.restart()
                    if not message.data:
                        continue  # a keep-alive: httpx-sse makes a message of a comment behind an id
                    if message.event == _END:
                        return
                    event = parsed(response, partial(event_in, message))
                    if event.seq > after:
                        after = event.seq
                        yield event
            trouble: Trouble = Unreachable(http.url, "the stream ended early")
        except httpx.RequestError as error:
            trouble = Unreachable(http.url, error)
        except ApiError as error:
            trouble = error
        time.sleep(patience.pause_after(trouble))


class EventCalls(Calls):
    """Events of a job."""

    def events(self, job_id: str, after: int = 0) -> Generator[Event]:
        """Yield every event above number `after`, live, each once and in order, until the job has ended.

        Reconnects after a lost connection.
        """
        return follow(self._http, path_to("jobs", job_id, "events"), after)

    def list_events(self, job_id: str, *, after: int = 0) -> Listing[Event]:
        """List the events above number `after` that have happened so far."""
        return self._http.items(event_of, path_to("jobs", job_id, "events"), {"after": after})
