"""Head of a model: everything except its blocks, which computes logits from the hidden states after the last block.

Final norm, output projection and any post-processing of logits are the model's own code: the model is run with its
layers replaced by stubs that return the final hidden states. All of this acts on every token independently, so it is run
on a few tokens at a time, and logits (tokens, vocabulary) stay small.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worker.engine.activations.batches import Form, Stream
from worker.engine.activations.capture import replaced_layers
from worker.engine.model.loading import loaded_non_block_weights
from worker.engine.model.meta import text_config
from worker.engine.model.structure import Architecture


class Head:
    """Head of a model; its weights, except those of the blocks, are on the device."""

    def __init__(self, arch: Architecture, forms: Sequence[Form], device: torch.device) -> None:
        self.device = device
        self.vocabulary: int = text_config(arch.config).vocab_size
        self._arch, self._forms = arch, forms

    def logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Return logits (samples, n, vocabulary) on the device, from the final states of the tokens (samples, n)."""
        hidden = states.to(self.device)

        def answer(index: int, *_args: Any, **_kwargs: Any) -> Any:
            return self._forms[index].wrap(hidden, index)

        with replaced_layers(self._arch, lambda index: partial(answer, index)):
            logits: Tensor = self._arch.model(input_ids=tokens.to(self.device), use_cache=False).logits
        return logits

    def predictions(self, states: Sequence[Tensor], batches: Sequence[Tensor], size: int) -> Iterator[Tensor]:
        """Yield logits (n, vocabulary) of all tokens but the last of every window, window by window.

        `size` is the maximum number of logits at a time. If states are not laid out by window (see `are_of_windows`), all
        logits of a batch are computed at once.
        """
        count = max(1, size // self.vocabulary)
        for hidden, tokens in zip(states, batches, strict=True):
            if are_of_windows(hidden, tokens):
                for window, ids in zip(hidden, tokens, strict=True):
                    for start in range(0, len(ids) - 1, count):
                        stretch = slice(start, min(start + count, len(ids) - 1))
                        yield self.logits(window[None, stretch], ids[None, stretch])[0]
            else:
                for logits in self.logits(hidden, tokens)[:, : tokens.shape[1] - 1]:
                    yield from torch.split(logits, count)


@contextmanager
def loaded_head(arch: Architecture, stream: Stream) -> Iterator[Head]:
    """Yield the head for a stream that has passed all blocks."""
    with loaded_non_block_weights(arch, arch.model, stream.device):
        yield Head(arch, stream.forms, stream.device)


def are_of_windows(hidden: Tensor, tokens: Tensor) -> bool:
    """Return whether states are (windows, length, ...) like their tokens: no prompt, second stream or other axis order."""
    return hidden.shape[:2] == tokens.shape
