"""Greedy continuations by a whole model, one prompt at a time: in a batch, bfloat16 rounds by what else is in the batch.

The tokens are those of `model.generate(do_sample=False)` in transformers without the model's own generation settings, in the
dtype of its file, but float16 in float32 on a CPU.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from worker.engine.activations.store import give_back_memory
from worker.engine.device_memory import is_device_memory_exhausted
from worker.engine.model.loading import choose_device
from worker.evaluation.samples.prompts import Prompts
from worker.inputs.whole_models import DeviceTooSmall, check_room, load_whole, ready

VERSION: Final = 1
"""Part of the key of cached continuations; raise it with a change that alters tokens."""


def generate(path: Path, prompts: Prompts, device: str, progress: Callable[[int], None]) -> list[list[int]]:
    """Return the new tokens of each prompt, with the end-of-text token if the model ended its text.

    Args:
        progress: called for every token with the number of tokens so far, at most the sum of `prompts.new_tokens`; it may
            raise to stop.

    Raises:
        DeviceTooSmall: the whole model does not fit.
    """
    target = choose_device(device)
    check_room(path, target)
    try:
        return _generated(path, prompts, target, progress)
    except RuntimeError as error:
        if not is_device_memory_exhausted(error):
            raise
        raise DeviceTooSmall("The device's memory does not hold the whole model.") from None
    finally:
        give_back_memory()


def _generated(path: Path, prompts: Prompts, target: torch.device, progress: Callable[[int], None]) -> list[list[int]]:
    model, done = load_whole(path), 0
    found: list[list[int]] = []
    with torch.inference_mode():
        model = ready(model, target)
        ends = model.generation_config.eos_token_id
        for tokens, most in zip(prompts.tokens, prompts.new_tokens, strict=True):
            found.append(_continue(model, torch.tensor([list(tokens)], device=target), most, ends, _Counter(progress, done)))
            done += most
    progress(done)
    return found


def _continue(model: Any, prompt: Tensor, most: int, ends: Any, counter: "_Counter") -> list[int]:
    from transformers import GenerationConfig

    # in place of the model's own, from which transformers would take what is not set, such as sampling and penalties
    model.generation_config = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=ends, pad_token_id=0)
    found = model.generate(prompt, attention_mask=torch.ones_like(prompt), streamer=counter)
    new: list[int] = found[0, prompt.shape[1] :].tolist()
    return new


class _Counter:
    """Streamer of a generation that reports every token."""

    def __init__(self, progress: Callable[[int], None], done: int) -> None:
        self._progress, self._done = progress, done - 1  # the prompt comes first

    def put(self, _tokens: Tensor) -> None:
        self._done += 1
        self._progress(self._done)

    def end(self) -> None:
        """Do nothing; required by the streamer's protocol."""
