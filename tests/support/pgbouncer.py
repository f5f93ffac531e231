"""A real PgBouncer in front of a PostgreSQL server: Debian's package, which `make test` installs as root."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.embedded.processes import Child, free_port, wait_until

PROGRAM = os.environ.get("DSNOT_PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(url: str, folder: Path, *, mode: str = "transaction", ignored: str = "") -> Iterator[str]:
    """The database's URL through a PgBouncer with four server connections.

    `ignored`: parameters that it takes and drops; by default it refuses the `options` that have session settings.
    """
    if PROGRAM is None:
        pytest.skip("pgbouncer is missing; on Debian: apt-get install pgbouncer")
    place, port = urlsplit(url), free_port()
    configuration = folder / f"{mode}.ini"
    configuration.write_text(
        f"[databases]\n* = host={place.hostname} port={place.port} user={place.username} password={place.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\ndefault_pool_size = 4\nmax_client_conn = 200\n"
        f"ignore_startup_parameters = {ignored}\n"
    )
    as_other_user = ["-u", "nobody"] if os.geteuid() == 0 else []  # style: allow
    child = Child.start("pgbouncer", [PROGRAM, *as_other_user, str(configuration)], folder / "logs")
    try:
        wait_until(lambda: _listens(port), child, seconds=30)
        yield url.replace(f":{place.port}", f":{port}")
    finally:
        child.stop(5)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
