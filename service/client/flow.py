"""Flows: what is decided between requests, without doing any of them.

A flow is a generator. It asks for steps (send this, wait so long) and is told what came of each; an error of a step is thrown
into it. Who does the steps is a driver, a blocking one or an asynchronous one, so that retries, pages, streams and downloads
are written once for both.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from service.client.call import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Gives the answer, read whole."""

    call: Call[Any]


@dataclass(frozen=True)
class Open:
    """Gives an answer whose body has not been read yet; follows redirects, and leaves the key behind then.

    An error's body is read whole. A flow has one body open at a time: the one before is closed.
    """

    call: Call[Any]


@dataclass(frozen=True)
class Body:
    """What `Open` gives."""

    response: httpx.Response
    pieces: Any
    """An iterator of bytes, or an asynchronous one."""


@dataclass(frozen=True)
class Take:
    """Gives the next piece of a body, None at its end."""

    body: Body


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Aside:
    """Gives what `work` does, which may take a while on the disk or the processor."""

    work: Callable[[], Any]


@dataclass(frozen=True)
class Give(Generic[T]):
    """Hands something to the caller, who comes back for more."""

    item: T


Step: TypeAlias = Send | Open | Take | Pause | Aside
Flow: TypeAlias = Generator[Step, Any, T]
"""Comes to one result."""
Stream: TypeAlias = Generator[Step | Give[T], Any, None]
"""Gives any number of things on its way."""


@dataclass(frozen=True)
class Terms:
    """What a client was told when it was made."""

    url: str
    patience: float
    """For how many seconds to try again."""


class Course(Generic[T]):
    """A stream on its way, for the driver that does its steps."""

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream
        self.step: Step | Give[T] | None = None
        """What to do now; None at the end."""
        self.go_on()

    def go_on(self, answer: Any = None) -> None:
        self._advance(lambda: self._stream.send(answer))

    def fail(self, error: Exception) -> None:
        """Raises what the flow makes of the error, unless it knows what to do."""
        self._advance(lambda: self._stream.throw(error))

    def _advance(self, move: Callable[[], Step | Give[T]]) -> None:
        try:
            self.step = move()
        except StopIteration:
            self.step = None


def with_result(flow: Flow[T]) -> Stream[T]:
    """A stream of one thing: what the flow comes to."""
    yield Give((yield from flow))
