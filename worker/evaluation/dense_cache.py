"""Cache of dense models' results on this host's disk, shared by its workers, so that jobs on one model measure it once.

An entry is a small file named by its key, which covers everything that can change a bit of the result. A missing or damaged
entry is measured again.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from service.logging import get_logger

log = get_logger(__name__)

LIMIT: Final = 512
"""Maximum number of entries; the least recently used are removed."""


class DenseCache:
    """Folder of results, each a JSON value stored under the name of its kind."""

    def __init__(self, cache_dir: Path, kind: str) -> None:
        self._folder = cache_dir / "baselines"
        self._kind = kind

    def find(self, key: str) -> Any:
        """Return the value, or None if it is not cached, damaged or of another kind."""
        path = self._folder / f"{key}.json"
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(content, dict) or content.get("key") != key:
            return None
        value = content.get(self._kind)
        if value is None or content.get("sha256") != _checksum(key, value):
            return None
        with suppress(OSError):
            os.utime(path)
        return value

    def keep(self, key: str, value: Any) -> None:
        """Store the value. If that fails, the next job measures it again."""
        path = self._folder / f"{key}.json"
        content = {"key": key, self._kind: value, "sha256": _checksum(key, value)}
        partial = path.with_suffix(f".{uuid4().hex}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(content))
            partial.rename(path)
            self._forget_oldest()
        except OSError as error:
            log.warning("baseline_not_stored", error=type(error).__name__)
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def _forget_oldest(self) -> None:
        """Remove the oldest files beyond the limit, partial ones included; another worker may do so at the same time."""
        aged = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                aged.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(aged)[:-LIMIT]:
            path.unlink(missing_ok=True)


def _checksum(key: str, value: Any) -> str:
    return hashlib.sha256(json.dumps([key, value]).encode()).hexdigest()
