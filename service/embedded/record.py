"""`stack.json`: address and credentials of the running stack, for programs of the same home."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from service.kit.files import fsync

API_KEY_FILE = "api-key"
_FILE = "stack.json"


@dataclass(frozen=True)
class StackRecord:
    """Address and processes of a stack. Written when it is ready, removed when it stops. Private, because of the passwords."""

    pid: int
    url: str
    database_url: str
    broker_url: str
    processes: dict[str, int]

    @classmethod
    def read(cls, home: Path) -> "StackRecord | None":
        """Return the record of the last stack that became ready and did not shut down cleanly; it may be dead."""
        try:
            return cls(**json.loads((home / _FILE).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, home: Path) -> None:
        """Write the record, readable by its owner only."""
        write_private(home / _FILE, json.dumps(asdict(self), indent=1))

    @staticmethod
    def remove(home: Path) -> None:
        """Delete the record, if there is one."""
        (home / _FILE).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fsync(fresh)
    fresh.replace(path)
