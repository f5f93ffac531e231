"""A real PgBouncer in front of a PostgreSQL server: Debian's package, which `make test` installs as root."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from service.embedded.processes import Child, free_port, wait_until

PROGRAM = os.environ.get("DSNOT_PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class PgBouncer:
    """A running PgBouncer with four server connections per user, which keeps its port over restarts.

    Its users are those of `urls`, which name one database; each logs in to the server as itself.
    `ignored`: parameters that it takes and drops; by default it refuses the `options` that have session settings.
    """

    def __init__(self, folder: Path, *urls: str, mode: str = "transaction", ignored: str = "") -> None:
        self._folder, self._mode, self._port = folder, mode, free_port()
        self.urls = [url.replace(f":{urlsplit(url).port}", f":{self._port}") for url in urls]
        users = folder / "users.txt"
        users.write_text("".join(f'"{place.username}" "{unquote(place.password or "")}"\n' for place in map(urlsplit, urls)))
        place = urlsplit(urls[0])
        (folder / f"{mode}.ini").write_text(
            f"[databases]\n* = host={place.hostname} port={place.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\n"
            f"pool_mode = {mode}\ndefault_pool_size = 4\nmax_client_conn = 200\n"
            f"ignore_startup_parameters = {ignored}\n"
        )
        self.start()

    def start(self) -> None:
        assert PROGRAM
        as_other_user = ["-u", "nobody"] if os.geteuid() == 0 else []  # style: allow
        command = [PROGRAM, *as_other_user, str(self._folder / f"{self._mode}.ini")]
        self._child = Child.start("pgbouncer", command, self._folder / "logs")
        wait_until(self._listens, self._child, seconds=30)

    def stop(self) -> None:
        """Close all connections, those in a transaction as well."""
        self._child.stop(5)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@contextmanager
def pgbouncer(folder: Path, *urls: str, mode: str = "transaction", ignored: str = "") -> Iterator[PgBouncer]:
    """Run a PgBouncer; skip the test where the program is missing."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is missing; on Debian: apt-get install pgbouncer")
    running = PgBouncer(folder, *urls, mode=mode, ignored=ignored)
    try:
        yield running
    finally:
        running.stop()
