"""A TCP proxy whose wire can be cut, or go silent while both ends believe that they are still connected."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 65_536


class Wire:
    """Listens on a port of its own and passes everything on to another, as long as it is not silent."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._passes = threading.Event()
        self._passes.set()
        self._open: set[socket.socket] = set()
        self._stuck: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing passes any more, on connections old and new; nobody is told. Afterwards the old ones stay silent."""
        self._passes.clear()
        stuck = set(self._open)
        try:
            yield
        finally:
            self._open -= stuck
            self._stuck |= stuck
            self._passes = threading.Event()
            self._passes.set()

    def cut(self) -> None:
        """Break all connections; new ones can be made at once."""
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The silent connections break as well, so that no server keeps the locks of their transactions."""
        self._listener.close()
        self._open |= self._stuck
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        passes = self._passes
        passes.wait()
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        self._open |= {near, far}
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass_on, args=(source, sink, passes), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, passes: threading.Event) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                passes.wait()
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)
