"""Beginning-of-sequence tokens (BOS) of windows: none of their own, as in the papers, or one at the head of each.

Some models rest on that token. Gemma 3 270M on WikiText-2, 8 windows of 512 tokens: perplexity 63.7 without, 24.9 with it. For a
tokenizer that adds one by itself, `auto` measures the dense model's loss on a few windows of the calibration text both ways.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from service.contract.failures import FailureCode
from service.contract.provenance import BosProtocol
from service.contract.spec import Bos
from worker.failures import JobFailure
from worker.inputs.tokenization import TokenizedText, headed

_WINDOWS: Final = 4
_LENGTH: Final = 512
"""Maximum number of tokens of a window that `auto` measures."""


@dataclass(frozen=True)
class BosChoice:
    """Protocols of calibration and evaluation, and the dense model's losses in nats per token if they were measured."""

    calibration: BosProtocol
    evaluation: BosProtocol
    loss_window: float | None = None
    loss_stream: float | None = None

    def to_metrics(self) -> dict[str, Any]:
        """Return the choice JSON-ready."""
        return {
            "calibration": self.calibration,
            "evaluation": self.evaluation,
            "loss_window": self.loss_window,
            "loss_stream": self.loss_stream,
        }


def choose(
    text: TokenizedText, *, calibration: Bos, evaluation: Bos, longest: int, losses: Callable[[Tensor], Tensor] | None
) -> BosChoice:
    """Choose the protocols.

    Args:
        text: the calibration text.
        longest: maximum number of tokens of a window.
        losses: returns the dense model's mean loss (windows,) of windows (windows, L); None: it has no head.

    Raises:
        JobFailure: `invalid-request`: `window` is requested, and the tokenizer has no BOS.
    """
    for field, requested in (("calibration", calibration), ("evaluation", evaluation)):
        if requested == "window" and text.bos is None:
            detail = f"{field}.bos is window, and the model's tokenizer has no beginning-of-sequence token; use auto or stream."
            raise JobFailure(FailureCode.INVALID_REQUEST, detail)
    found: tuple[float, float] | None = None
    if "auto" in (calibration, evaluation) and text.begins_with_bos and losses is not None:
        found = _measured(text, min(longest, _LENGTH), losses)
    best: BosProtocol = "window" if found and found[0] < found[1] else "stream"
    return BosChoice(
        calibration=best if calibration == "auto" else calibration,
        evaluation=best if evaluation == "auto" else evaluation,
        loss_window=found[0] if found else None,
        loss_stream=found[1] if found else None,
    )


def _measured(text: TokenizedText, length: int, losses: Callable[[Tensor], Tensor]) -> tuple[float, float] | None:
    """Return the mean loss with BOS at the head of each window, and without; None if the text is too short for a window."""
    content, bos = text.content, text.bos
    windows = min(_WINDOWS, (len(content) - 1) // (length - 1))
    if windows < 1 or bos is None:
        return None
    starts = [start * (length - 1) for start in range(windows)]
    without = torch.stack([content[start : start + length] for start in starts])
    found = losses(torch.cat([headed(without[:, :-1], bos), without]))
    return float(found[:windows].mean()), float(found[windows:].mean())


def stream_and_length(text: TokenizedText, length: int, bos: BosProtocol) -> tuple[Tensor, int]:
    """Return the stream that windows of `length` tokens are cut from, and how many of their tokens are cut."""
    return (text.content, length - 1) if bos == "window" else (text.stream, length)


def with_heads(windows: Tensor, text: TokenizedText, bos: BosProtocol) -> Tensor:
    """Return windows that were cut by `stream_and_length` in the form in which the model gets them, (windows, L)."""
    if bos == "stream":
        return windows
    assert text.bos is not None
    return headed(windows, text.bos)
