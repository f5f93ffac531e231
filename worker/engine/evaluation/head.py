"""All of a model but its blocks, as a head: what it makes of the hidden states after the last block.

Last norm, head and whatever a family does to its logits are the model's own: it is run once more with stand-ins for its
layers that give it the final hidden states. As all that acts on every token alone, it is run on a few tokens at a time,
so that logits (tokens, vocabulary) stay small.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worker.engine.activations.batches import Form, Stream
from worker.engine.activations.capture import replaced_layers
from worker.engine.model.loading import loaded_surroundings
from worker.engine.model.meta import text_config
from worker.engine.model.structure import Architecture


class Head:
    """The head of a model whose weights, but for those of the blocks, are on the device."""

    def __init__(self, arch: Architecture, forms: Sequence[Form], device: torch.device) -> None:
        self.device = device
        self.vocabulary: int = text_config(arch.config).vocab_size
        self._arch, self._forms = arch, forms

    def logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        """(samples, n, vocabulary) on the device, of states after the last block and the tokens (samples, n) they stand for."""
        hidden = states.to(self.device)

        def answer(index: int, *_args: Any, **_kwargs: Any) -> Any:
            return self._forms[index].wrap(hidden, index)

        with replaced_layers(self._arch, lambda index: partial(answer, index)):
            logits: Tensor = self._arch.model(input_ids=tokens.to(self.device), use_cache=False).logits
        return logits

    def predictions(self, states: Sequence[Tensor], batches: Sequence[Tensor], size: int) -> Iterator[Tensor]:
        """The logits (n, vocabulary) with which every window but its last token predicts, one window after the other.

        `size` is how many numbers there are at a time, at most. Where only the model can tell the states of windows apart
        (see `are_of_windows`), all logits of a batch are made at once.
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
    """The head for a stream that has passed all blocks."""
    with loaded_surroundings(arch, arch.model, stream.device):
        yield Head(arch, stream.forms, stream.device)


def are_of_windows(hidden: Tensor, tokens: Tensor) -> bool:
    """Whether states are (windows, length, ...) like their tokens: no prompt, no second stream, no axes in another order."""
    return hidden.shape[:2] == tokens.shape
