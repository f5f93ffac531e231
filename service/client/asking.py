"""Flows of one call: send it, retry temporary errors, raise problems as exceptions, follow the pagination of a list."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from service.client.call import Call, Page
from service.client.errors import ApiError, StoreRefused, Unreachable, problem_in
from service.client.flow import Body, Flow, Give, Open, Pause, Send, Stream, Terms
from service.client.patience import RetryBudget, Trouble

P = ParamSpec("P")
T = TypeVar("T")


def ask(terms: Terms, call: Call[T]) -> Flow[T]:
    """Send a call, with retries, and return its result."""
    patience = RetryBudget(terms.patience)
    while True:
        try:
            response: httpx.Response = yield Send(call)
            return call.answer(_checked(response))
        except httpx.TransportError as error:
            trouble: Trouble = Unreachable(terms.url, error)
        except ApiError as error:
            trouble = error
        yield Pause(patience.pause_after(trouble, call.repeat))


def ask_for_all(terms: Terms, call: Call[Page[T]]) -> Stream[T]:
    """Yield the items of a list; fetch pages as needed."""
    page = yield from ask(terms, call)
    while True:
        for item in page.items:
            yield Give(item)
        if page.next_cursor is None:
            return
        page = yield from ask(terms, call.at(page.next_cursor))


def open_body(call: Call[Any]) -> Flow[Body]:
    """Return a response body that is streamed; no retries.

    Raises:
        StoreRefused: the service redirected to an address that answered with an error; a new request may get another address.
    """
    body: Body = yield Open(call)
    if not body.response.is_success and body.response.history:
        raise StoreRefused(body.response.status_code)
    _checked(body.response)
    return body


def asking(make: Callable[P, Call[T]]) -> Callable[Concatenate[Terms, P], Flow[T]]:
    """Return the flow of the call that `make` creates."""

    def flow(terms: Terms, /, *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        return ask(terms, make(*args, **kwargs))

    return wraps(make)(flow)


def listing(make: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[Terms, P], Stream[T]]:
    """Return the stream of the list whose page call `make` creates."""

    def stream(terms: Terms, /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        return ask_for_all(terms, make(*args, **kwargs))

    return wraps(make)(stream)


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise problem_in(response)
