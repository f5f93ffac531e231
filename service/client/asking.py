"""Flows of one call: send it, be patient with what passes, turn problems into exceptions, follow the pages of a list."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from service.client.call import Call, Page
from service.client.errors import ApiError, StoreRefused, Unreachable, problem_in
from service.client.flow import Body, Flow, Give, Open, Pause, Send, Stream, Terms
from service.client.patience import Patience, Trouble

P = ParamSpec("P")
T = TypeVar("T")


def ask(terms: Terms, call: Call[T]) -> Flow[T]:
    """What the service answers to a call, once it does."""
    patience = Patience(terms.patience)
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
    """The items of a list, page by page as they are needed."""
    page = yield from ask(terms, call)
    while True:
        for item in page.items:
            yield Give(item)
        if page.next_cursor is None:
            return
        page = yield from ask(terms, call.at(page.next_cursor))


def open_body(call: Call[Any]) -> Flow[Body]:
    """An answer to be read bit by bit; tried once.

    Raises:
        StoreRefused: the service sent us elsewhere, which led to an error; asking the service again may lead somewhere else.
    """
    body: Body = yield Open(call)
    if not body.response.is_success and body.response.history:
        raise StoreRefused(body.response.status_code)
    _checked(body.response)
    return body


def asking(make: Callable[P, Call[T]]) -> Callable[Concatenate[Terms, P], Flow[T]]:
    """The flow of the call that `make` makes."""

    def flow(terms: Terms, /, *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        return ask(terms, make(*args, **kwargs))

    return wraps(make)(flow)


def listing(make: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[Terms, P], Stream[T]]:
    """The stream of the list whose pages the call that `make` makes asks for."""

    def stream(terms: Terms, /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        return ask_for_all(terms, make(*args, **kwargs))

    return wraps(make)(stream)


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise problem_in(response)
