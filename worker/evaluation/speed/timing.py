"""Timing of prefill and decode of one model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

_TIMES: Final = 5
_ENOUGH_SECONDS: Final = 30.0


class Throughput(BaseModel):
    """Tokens per second: the median of `times` measurements, the slowest and the fastest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    median: float
    lowest: float
    highest: float
    times: int = Field(ge=1)


@dataclass(frozen=True)
class Generation:
    """Lengths of a generation in tokens."""

    prompt: int
    new: int
    """Tokens decoded after the first, which the prefill gives."""


def timed(
    model: Any, generation: Generation, device: torch.device, tick: Callable[[], None], times: int = _TIMES
) -> tuple[Throughput, Throughput | None]:
    """Return the throughput of the prefill, and of decoding if there is any.

    Args:
        tick: called for every token; it may raise to stop.
        times: number of measurements, after one that does not count; fewer where they take long.
    """
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.get_input_embeddings().num_embeddings, (1, generation.prompt), generator=draw).to(device)
    rounds: list[list[float]] = []
    begun = time.monotonic()
    while len(rounds) <= times and (len(rounds) < 2 or time.monotonic() - begun < _ENOUGH_SECONDS):
        rounds.append(_moments(model, tokens, generation.new, tick))
    counted = rounds[1:]
    read, written = [each[1] - each[0] for each in counted], [each[-1] - each[1] for each in counted]
    return _throughput(generation.prompt, read), _throughput(generation.new, written) if generation.new else None


def _moments(model: Any, tokens: Tensor, new: int, tick: Callable[[], None]) -> list[float]:
    """Return the times at which a generation began, had its first token and had each of `new` more."""
    from transformers import GenerationConfig

    clock = _Clock(tick)
    # in place of the model's own, from which transformers would take what is not set, such as beams and stop strings
    model.generation_config = GenerationConfig(max_new_tokens=new + 1, min_new_tokens=new + 1, do_sample=False, pad_token_id=0)
    model.generate(tokens, attention_mask=torch.ones_like(tokens), streamer=clock)
    return clock.moments


class _Clock:
    """Streamer of a generation that records when the prompt and every token have reached the host."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self.moments: list[float] = []
        self._tick = tick

    def put(self, _tokens: Tensor) -> None:
        self._tick()
        self.moments.append(time.monotonic())

    def end(self) -> None:
        """Do nothing; required by the streamer's protocol."""


def _throughput(tokens: int, seconds: Sequence[float]) -> Throughput:
    rates = [tokens / each for each in seconds]
    return Throughput(median=round(median(rates), 2), lowest=round(min(rates), 2), highest=round(max(rates), 2), times=len(rates))
