"""Sans-I/O flows: the logic between requests, without the I/O.

A flow is a generator that yields steps (send a call, pause) and receives the result of each; an error of a step is thrown into
it. A driver, blocking or asyncio, performs the steps, so that retries, pagination, streams and downloads are written once.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from service.client.call import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Step that sends a call; its result is the response, read completely."""

    call: Call[Any]


@dataclass(frozen=True)
class Open:
    """Step that sends a call; its result is a response with an unread body. Follows redirects, without the API key.

    An error's body is read completely. A flow has one open body at a time: the previous one is closed.
    """

    call: Call[Any]


@dataclass(frozen=True)
class Body:
    """Result of `Open`: a response and its body in chunks."""

    response: httpx.Response
    pieces: Any
    """Iterator of bytes, blocking or asynchronous."""


@dataclass(frozen=True)
class Take:
    """Step whose result is the next chunk of a body, None at its end."""

    body: Body


@dataclass(frozen=True)
class Pause:
    """Step that waits."""

    seconds: float


@dataclass(frozen=True)
class Aside:
    """Step whose result is that of `work`, which may block on the disk or the CPU."""

    work: Callable[[], Any]


@dataclass(frozen=True)
class Give(Generic[T]):
    """Item that a stream yields to the caller."""

    item: T


Step: TypeAlias = Send | Open | Take | Pause | Aside
Flow: TypeAlias = Generator[Step, Any, T]
"""Generator with one result."""
Stream: TypeAlias = Generator[Step | Give[T], Any, None]
"""Generator that yields any number of items."""


@dataclass(frozen=True)
class Terms:
    """Settings of a client."""

    url: str
    patience: float
    """Seconds for which to retry."""


class Course(Generic[T]):
    """Execution of a stream, for the driver that performs its steps."""

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream
        self.step: Step | Give[T] | None = None
        """Current step; None at the end."""
        self.go_on()

    def go_on(self, answer: Any = None) -> None:
        """Send the step's result into the stream and advance to the next step."""
        self._advance(lambda: self._stream.send(answer))

    def fail(self, error: Exception) -> None:
        """Throw the step's error into the stream, which handles it or raises."""
        self._advance(lambda: self._stream.throw(error))

    def _advance(self, move: Callable[[], Step | Give[T]]) -> None:
        try:
            self.step = move()
        except StopIteration:
            self.step = None


def with_result(flow: Flow[T]) -> Stream[T]:
    """Yield the flow's result as the only item of a stream."""
    yield Give((yield from flow))
