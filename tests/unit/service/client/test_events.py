"""The event stream: each event once, in order, however often the connection breaks."""

import asyncio
import json
from collections.abc import Callable
from functools import partial

import httpx
import pytest

from service.client import ApiError, AsyncClient, Client
from tests.support.client_kinds import KINDS, Answer, Broken, client_on

ClientOf = Callable[[Answer], Client]

_TYPES = ["created", "attempt_started", "stage_started", "block_pruned", "succeeded"]


def _frame(seq: int) -> str:
    document = {"seq": seq, "type": _TYPES[seq - 1], "data": {"n": seq}, "created_at": "2026-01-31T12:00:00Z"}
    return f"event: {_TYPES[seq - 1]}\ndata: {json.dumps(document)}\nid: {seq}\n\n"


_END = 'event: end\ndata: {"state": "succeeded"}\n\n'


_STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


class Service:
    """Streams the events after `Last-Event-ID`; breaks off where it is told to."""

    def __init__(self, *breaks: int) -> None:
        self._breaks = list(breaks)
        self.resumed_after: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        last = request.headers.get("Last-Event-ID")
        self.resumed_after.append(last)
        frames = [_frame(seq) for seq in range(int(last or 0) + 1, len(_TYPES) + 1)] + [_END]
        text = "".join(f": ping\n\n{frame}" for frame in frames)
        if self._breaks:
            return httpx.Response(
                200, headers=_STREAM, stream=Broken(text[: self._breaks.pop(0)].encode(), httpx.RemoteProtocolError("gone"))
            )
        return httpx.Response(200, text=text, headers=_STREAM)


@pytest.fixture(params=KINDS)
def client_of(request: pytest.FixtureRequest) -> ClientOf:
    return partial(client_on, request.param)


def test_events_arrive_in_order_and_the_stream_ends_by_itself(client_of: ClientOf) -> None:
    events = list(client_of(Service()).jobs.events("1"))
    assert [(event.seq, event.type, event.data) for event in events] == [(n, _TYPES[n - 1], {"n": n}) for n in range(1, 6)]


@pytest.mark.parametrize("cut", [0, 5, 60, 170, 171, 300, 400])
def test_a_reconnect_neither_repeats_nor_skips(client_of: ClientOf, cut: int) -> None:
    service = Service(cut)
    assert [event.seq for event in client_of(service).jobs.events("1")] == [1, 2, 3, 4, 5]
    assert len(service.resumed_after) == 2


def test_streaming_starts_after_the_given_id(client_of: ClientOf) -> None:
    service = Service()
    assert [event.seq for event in client_of(service).jobs.events("1", after=3)] == [4, 5]
    assert service.resumed_after == ["3"]


class _Open(Broken):
    """The body of an answer that notes when it is closed."""

    closed = False

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("kind", KINDS)
def test_closing_an_iterator_closes_its_response(kind: str) -> None:
    body = _Open(_frame(1).encode(), httpx.ReadError("nothing more is to be read"))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=_STREAM, stream=body))

    async def read_one() -> None:
        events = AsyncClient("http://service", "key", transport=transport).jobs.events("1")
        assert (await anext(events)).seq == 1
        assert not body.closed
        await events.aclose()
        assert body.closed  # in the loop, before the garbage collector

    if kind == "asynchronous":
        asyncio.run(read_one())
        return
    events = Client("http://service", "key", transport=transport).jobs.events("1")
    assert next(events).seq == 1
    assert not body.closed
    events.close()
    assert body.closed


def test_an_error_is_not_retried(client_of: ClientOf) -> None:
    client = client_of(lambda _: httpx.Response(404, json={"detail": "there is no such job"}))
    with pytest.raises(ApiError, match="no such job"):
        list(client.jobs.events("1"))
