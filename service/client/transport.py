"""Requests with the key on them, patience with what passes, and problems as exceptions."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from service.client.errors import ApiError, StoreRefused, Unreachable

_PASSING: Final = frozenset({429, 503})
_IN_FLIGHT: Final = "urn:dsnot:problem:idempotency-in-flight"
_LONGEST_PAUSE: Final = 10.0

Params = Mapping[str, str | int]


class Transport:
    """One connection pool to one service.

    What may be repeated is tried again for `patience` seconds where that can help: reads, and writes that are done once however
    often they arrive.
    """

    def __init__(self, url: str, key: str, patience: float, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        timeout = httpx.Timeout(connect=5, read=60, write=30, pool=5)
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "dsnot-client"}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    def read(self, path: str, params: Params | None = None) -> Any:
        """GET, as JSON."""
        return self._repeated("GET", path, params=dict(params or {})).json()

    def write(self, path: str, body: Any = None) -> Any:
        """POST, as JSON. Not repeated: the first try may have arrived."""
        try:
            return self._checked(self._http.post(path, json=body)).json()
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error

    def write_once(self, path: str, body: Any = None, key: str | None = None) -> Any:
        """POST, as JSON, of what is done once however often it arrives: by its nature, or under an idempotency key."""
        return self._repeated("POST", path, json=body, headers={"Idempotency-Key": key} if key else {}).json()

    def upload(self, path: str, file: Path, media_type: str, params: Params) -> Any:
        """POST of a file, read bit by bit, which is stored once however often it arrives; the answer as JSON."""
        for again in patiently(self.patience):
            try:
                with file.open("rb") as content:
                    headers = {"Content-Type": media_type, "Content-Length": str(file.stat().st_size)}
                    return self._checked(self._http.post(path, params=dict(params), content=content, headers=headers)).json()
            except httpx.TransportError as error:
                again(Unreachable(self.url, error))
            except ApiError as error:
                again(error)
        raise AssertionError

    def wait(self, path: str, seconds: int) -> Any:
        """GET, as JSON, of what is answered when it has ended or after so many seconds."""
        return self._repeated("GET", path, headers={"Prefer": f"wait={seconds}"}, timeout=seconds + 30.0).json()

    def _repeated(self, method: str, path: str, **request: Any) -> httpx.Response:
        for again in patiently(self.patience):
            try:
                return self._checked(self._http.request(method, path, **request))
            except httpx.TransportError as error:
                again(Unreachable(self.url, error))
            except ApiError as error:
                again(error)
        raise AssertionError

    def delete(self, path: str) -> None:
        """DELETE. Not repeated: the first try may have arrived."""
        try:
            self._checked(self._http.delete(path))
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """GET whose body is read bit by bit; follows a redirect to the store (and leaves the key behind then).

        Raises:
            StoreRefused: the redirect led to an error; another one may not.
        """
        with self._http.stream("GET", path, headers=dict(headers), follow_redirects=True) as response:
            if not response.is_success:
                if response.history:
                    raise StoreRefused(response.status_code)
                response.read()
            yield self._checked(response)

    def close(self) -> None:
        self._http.close()

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        raise ApiError.of(response)


def pages(transport: Transport, path: str, params: Mapping[str, str] | None = None) -> Iterator[Any]:
    """The items of a list, page by page as they are needed."""
    cursor: str | None = ""
    while cursor is not None:
        page = transport.read(path, {**(params or {}), **({"cursor": cursor} if cursor else {})})
        yield from page["items"]
        cursor = page.get("next_cursor")


class Patience:
    """Says whether to try again: called with what went wrong, it waits, or raises it when time is up or waiting cannot help."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Something worked: the next trouble gets the whole time again."""
        self._deadline = time.monotonic() + self._seconds
        self._pause = 0.1

    def __call__(self, error: ApiError | StoreRefused | Unreachable) -> None:
        if isinstance(error, ApiError) and error.status not in _PASSING and error.type != _IN_FLIGHT:
            raise error
        pause = min(self._pause, _LONGEST_PAUSE)
        if isinstance(error, ApiError) and error.retry_after is not None:
            pause = error.retry_after
        if time.monotonic() + pause > self._deadline:
            raise error
        time.sleep(pause)
        self._pause *= 2


def patiently(seconds: float) -> Iterator[Patience]:
    """`for again in patiently(5): try … except … as error: again(error)`."""
    again = Patience(seconds)
    while True:
        yield again
