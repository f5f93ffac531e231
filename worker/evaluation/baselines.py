"""Cache of dense models' losses on this host's disk, shared by its workers, so that jobs on one model measure it once.

An entry is a small file named by its key, which covers everything that can change a bit of the losses: the model's files,
the windows, the engine's code, the libraries, the processor. A missing or damaged entry is measured again.
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import torch
from torch import Tensor

from service.logging import get_logger
from worker.engine.output.journal import evaluation_key

log = get_logger(__name__)

LIMIT: Final = 512
"""Maximum number of entries; the least recently used are removed."""


class Baselines:
    """Cached losses of one model on one device."""

    def __init__(self, cache_dir: Path, *, source: str, device: torch.device) -> None:
        """`source` is a hash of the model's files."""
        self._folder = cache_dir / "baselines"
        self._source, self._device = source, device

    def find(self, windows: Tensor) -> Tensor | None:
        """Return the loss of every window, (windows,) float64, or None if it is not cached."""
        path = self._path(windows)
        try:
            losses = _losses(json.loads(path.read_bytes()), path.stem, len(windows))
        except (OSError, ValueError, RecursionError):
            return None
        if losses is not None:
            with suppress(OSError):
                os.utime(path)
        return losses

    def keep(self, windows: Tensor, losses: Sequence[float]) -> None:
        """Store the losses. If that fails, the next job measures them again."""
        path = self._path(windows)
        content = {"key": path.stem, "losses": list(losses), "sha256": _checksum(path.stem, losses)}
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

    def _path(self, windows: Tensor) -> Path:
        key = evaluation_key(source=self._source, windows=windows, device=self._device)
        return self._folder / f"{key}.json"

    def _forget_oldest(self) -> None:
        """Remove the oldest files beyond the limit, partial ones included; another worker may do so at the same time."""
        aged = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                aged.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(aged)[:-LIMIT]:
            path.unlink(missing_ok=True)


def _losses(content: Any, key: str, count: int) -> Tensor | None:
    """Return the losses of an entry, or None if it is damaged or not of this key."""
    losses = content.get("losses") if isinstance(content, dict) else None
    if not isinstance(losses, list) or len(losses) != count or content.get("key") != key:
        return None
    if not all(type(loss) is float and math.isfinite(loss) for loss in losses):
        return None
    return torch.tensor(losses, dtype=torch.float64) if content.get("sha256") == _checksum(key, losses) else None


def _checksum(key: str, losses: Sequence[float]) -> str:
    return hashlib.sha256(json.dumps([key, list(losses)]).encode()).hexdigest()
