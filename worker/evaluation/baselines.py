"""Cached losses of dense models. The key covers the model's files, the windows, the engine's code, libraries and processor."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.engine.output.journal import evaluation_key
from worker.evaluation.dense_cache import DenseCache


class Baselines:
    """Cached losses of one model on one device."""

    def __init__(self, cache_dir: Path, *, source: str, device: torch.device) -> None:
        """`source` is a hash of the model's files."""
        self._cache = DenseCache(cache_dir, "losses")
        self._source, self._device = source, device

    def find(self, windows: Tensor) -> Tensor | None:
        """Return the loss of every window, (windows,) float64, or None if it is not cached."""
        losses = self._cache.find(self._key(windows))
        return torch.tensor(losses, dtype=torch.float64) if _are_losses(losses, len(windows)) else None

    def keep(self, windows: Tensor, losses: Sequence[float]) -> None:
        """Store the losses. If that fails, the next job measures them again."""
        self._cache.keep(self._key(windows), list(losses))

    def _key(self, windows: Tensor) -> str:
        return evaluation_key(source=self._source, windows=windows, device=self._device)


def _are_losses(value: Any, count: int) -> bool:
    is_whole = isinstance(value, list) and len(value) == count
    return is_whole and all(type(loss) is float and math.isfinite(loss) for loss in value)
