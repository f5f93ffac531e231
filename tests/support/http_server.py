"""HTTP server in threads that writes nothing to the standard error of whichever test runs when its client goes away."""

from http.server import ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    """Server whose threads end with the process."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection."""
