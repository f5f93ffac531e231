"""`stack.json`: how programs of the same home reach the stack that runs there."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from service.kit.files import fsync

API_KEY_FILE = "api-key"
_FILE = "stack.json"


@dataclass(frozen=True)
class StackRecord:
    """Written once the stack is ready, removed when it stops. Holds passwords, so only its owner may read it."""

    pid: int
    url: str
    database_url: str
    broker_url: str
    processes: dict[str, int]

    @classmethod
    def read(cls, home: Path) -> "StackRecord | None":
        """The record of the last stack that became ready and was not stopped in good order; it may be dead."""
        try:
            return cls(**json.loads((home / _FILE).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, home: Path) -> None:
        write_private(home / _FILE, json.dumps(asdict(self), indent=1))

    @staticmethod
    def remove(home: Path) -> None:
        (home / _FILE).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fsync(fresh)
    fresh.replace(path)
