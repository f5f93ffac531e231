"""Descriptors that turn a flow into a method of both clients: blocking in one, a coroutine in the other."""

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from service.client.drivers import Awaiting, Blocking
from service.client.flow import Flow, Stream, Terms

Driver = TypeVar("Driver", bound=Blocking | Awaiting)
P = ParamSpec("P")
T = TypeVar("T")


class Calls(Generic[Driver]):
    """Base class of the groups of calls."""

    def __init__(self, driver: Driver, terms: Terms) -> None:
        self._driver = driver
        self._terms = terms


class Method(Generic[P, T]):
    """Method with one result: `client.get_job(id)`, or `await client.get_job(id)`."""

    def __init__(self, flow: Callable[Concatenate[Terms, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, calls: None, owner: type) -> Self: ...
    @overload
    def __get__(self, calls: Calls[Blocking], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, calls: Calls[Awaiting], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, calls: Calls[Any] | None, owner: type) -> Any:
        return self if calls is None else _bound(self._flow, calls._terms, calls._driver.run)


class Iteration(Generic[P, T]):
    """Method that iterates: `for job in client.list_jobs()`, or `async for job in client.list_jobs()`."""

    def __init__(self, stream: Callable[Concatenate[Terms, P], Stream[T]]) -> None:
        self._stream = stream
        self.__doc__ = stream.__doc__

    @overload
    def __get__(self, calls: None, owner: type) -> Self: ...
    @overload
    def __get__(self, calls: Calls[Blocking], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, calls: Calls[Awaiting], owner: type) -> Callable[P, AsyncGenerator[T, None]]: ...
    def __get__(self, calls: Calls[Any] | None, owner: type) -> Any:
        return self if calls is None else _bound(self._stream, calls._terms, calls._driver.iterate)


def _bound(flow: Callable[..., Any], terms: Terms, drive: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return drive(flow(terms, *args, **kwargs))

    update_wrapper(method, flow)
    signature = inspect.signature(flow)
    own = [each for each in signature.parameters.values() if each.annotation is not Terms]
    given = signature.replace(parameters=own, return_annotation=inspect.Signature.empty)
    method.__signature__ = given  # type: ignore[attr-defined]
    return method
