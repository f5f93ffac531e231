"""HTTP server in threads that writes nothing to the standard error of whichever test runs when its client goes away."""

import socket
from http.server import ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    """Server whose threads end with the process."""

    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and send the headers and the body of an answer without 40 ms between them."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def serve_forever(self, poll_interval: float = 0.02) -> None:
        """Serve until shutdown, which waits for one interval; the default is 0.5 s."""
        super().serve_forever(poll_interval)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection."""
