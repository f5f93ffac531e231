"""Pool of the tensors among the recorded arguments of layers, each stored once.

Many calls share a tensor: the mask of every layer and batch, the rotary tables. Others belong to one call, such as the
inputs per layer of Gemma 3n; from the second batch on a GPU keeps these on the host, so that its memory does not grow
with the samples.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from worker.engine.activations.batches import OnHost
from worker.engine.activations.store import ActivationStore

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}  # by bytes of an element; else int64
_Key = tuple[torch.Size, torch.dtype, int]  # shape, dtype, checksum


class ArgumentPool:
    """Distinct tensors of all recorded calls."""

    def __init__(self, store: ActivationStore, device: torch.device) -> None:
        """Keep tensors of single batches in `store` if the model runs on a GPU."""
        self._store = store
        self._device = device
        self._batches = 0
        self._known: dict[_Key, list[Tensor | OnHost]] = defaultdict(list)
        self._passing: dict[int, tuple[Tensor, Any]] = {}  # of this batch: tensors by identity, kept alive, and their copies

    def start_batch(self) -> None:
        """Begin another batch."""
        self._batches += 1
        self._passing.clear()

    def share(self, value: Any) -> Any:
        """Return the same value with its tensors replaced by their copies in the pool."""
        if isinstance(value, Tensor):
            if id(value) not in self._passing:
                self._passing[id(value)] = (value, self._find(value))
            return self._passing[id(value)][1]
        if type(value) in (tuple, list):
            return type(value)(self.share(item) for item in value)
        if type(value) is dict:
            return {key: self.share(item) for key, item in value.items()}
        return value

    def _find(self, tensor: Tensor) -> Tensor | OnHost:
        alike = self._known[tensor.shape, tensor.dtype, _checksum(tensor)]
        for known in alike:
            if torch.equal(known.tensor.to(tensor.device) if isinstance(known, OnHost) else known, tensor):
                return known
        is_of_one_batch = self._batches > 1 and self._device.type == "cuda" == tensor.device.type
        alike.append(OnHost(self._store.put(tensor)) if is_of_one_batch else tensor)
        return alike[-1]


def _checksum(tensor: Tensor) -> int:
    """Return the sum of the elements' bits, so that a tensor is compared with few others; it does not depend on an order."""
    bits = tensor.contiguous().view(_INTEGERS.get(tensor.element_size(), torch.int64))
    return int(bits.sum())
