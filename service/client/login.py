"""Address and API key that `dsnot login` stores in the user's configuration folder."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from service.client.errors import NotConfigured
from service.embedded.record import write_private


@dataclass(frozen=True)
class Login:
    """Address of a service and a key for it."""

    url: str
    key: str


def login_file() -> Path:
    """Return the path: `dsnot/login.json` in `$XDG_CONFIG_HOME`, by default `~/.config`.

    Raises:
        NotConfigured: the user has no home directory.
    """
    folder = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(folder) if folder else Path.home() / ".config") / "dsnot" / "login.json"
    except RuntimeError as error:
        raise NotConfigured("the user has no home directory; set XDG_CONFIG_HOME, or DSNOT_URL and DSNOT_API_KEY") from error


def stored() -> Login | None:
    """Return what is stored, if anything.

    Raises:
        NotConfigured: the file cannot be read.
    """
    try:
        file = login_file()
        return Login(**{name: str(value) for name, value in json.loads(file.read_text()).items()})
    except (FileNotFoundError, NotADirectoryError, NotConfigured):
        return None
    except OSError as error:
        raise NotConfigured(
            f"{file} cannot be read ({error.strerror}); correct its rights, or run `dsnot login` again"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise NotConfigured(f"{file} is not a login of this version; run `dsnot login` again") from error


def active() -> Login | None:
    """Return the stored login unless an environment variable names another service: DSNOT_URL or DSNOT_HOME."""
    return None if os.environ.get("DSNOT_HOME") or os.environ.get("DSNOT_URL") else stored()


def store(login: Login) -> Path:
    """Store the login, readable by its owner only, and return the file."""
    file = login_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, json.dumps(asdict(login)))
    return file


def remove() -> bool:
    """Delete the login; return whether there was one."""
    file = login_file()
    exists = file.exists()
    file.unlink(missing_ok=True)
    return exists
