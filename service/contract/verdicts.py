"""Verdict on a pruned model: the increase of its loss over the dense model's, in words.

The gap is ln(perplexity / dense perplexity): the increase of the mean loss in nats per token, the only scale on which models
with different perplexities compare. The limits are a convention of this service. A point of reference is SmolLM2-135M-Instruct
with a gap of 0.57 (perplexity × 1.77): it agrees with the dense model on 64 % of the next tokens, and its greedy continuations
repeat themselves.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Verdict(StrEnum):
    """Size of the loss that pruning caused."""

    CLOSE = "close"
    SLIGHT = "slight"
    NOTICEABLE = "noticeable"
    SEVERE = "severe"
    UNUSABLE = "unusable"

    @property
    def words(self) -> str:
        """The verdict as a label."""
        return _WORDS[self]


_WORDS: Final = {
    Verdict.CLOSE: "Close to the dense model",
    Verdict.SLIGHT: "Slight loss",
    Verdict.NOTICEABLE: "Noticeable loss",
    Verdict.SEVERE: "Severe loss",
    Verdict.UNUSABLE: "Unusable",
}
_LIMITS: Final = ((0.05, Verdict.CLOSE), (0.2, Verdict.SLIGHT), (0.5, Verdict.NOTICEABLE), (1.1, Verdict.SEVERE))
"""Largest gap of each verdict: perplexity × 1.05, × 1.22, × 1.65 and × 3.0."""


@dataclass(frozen=True)
class Judgement:
    """Verdict on one data set, and the perplexities and their ratio, pruned to dense, that it rests on."""

    verdict: Verdict
    dataset: str
    dense: float
    """Perplexity of the dense model."""
    pruned: float
    ratio: float
    low: float | None = None
    """Lower end of the ratio's 95 % interval, paired by window; None without one."""
    high: float | None = None

    @property
    def ratio_text(self) -> str:
        """The ratio with its interval, such as `× 1.31 (1.27 to 1.35)`."""
        interval = "" if self.low is None or self.high is None else f" ({multiple(self.low)} to {multiple(self.high)})"
        return f"× {multiple(self.ratio)}{interval}"


def multiple(ratio: float) -> str:
    """Return a ratio with three significant digits, such as `1.00` or `12.5`, above 100 without decimals."""
    return f"{ratio:#.3g}" if ratio < 99.95 else f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.2g}"


def judge(metrics: Mapping[str, Any] | None) -> Judgement | None:
    """Return the judgement on the data set with the largest gap; None if no data set was measured on both models."""
    return max(_judgements(metrics or {}), key=lambda each: each.ratio, default=None)


def _judgements(metrics: Mapping[str, Any]) -> Iterator[Judgement]:
    dense = {each.get("dataset"): each.get("perplexity") for each in (metrics.get("dense") or {}).get("perplexity") or ()}
    for each in (metrics.get("pruned") or {}).get("perplexity") or ():
        old, new = dense.get(each.get("dataset")), each.get("perplexity")
        if not old or not new:
            continue
        low, high = (each.get("loss_difference") or {}).get("ci95") or (None, None)
        gap = math.log(new / old)
        verdict = next((verdict for limit, verdict in _LIMITS if gap <= limit), Verdict.UNUSABLE)
        yield Judgement(verdict, str(each["dataset"]), old, new, new / old, _ratio(low), _ratio(high))


def _ratio(gap: float | None) -> float | None:
    """Return e to the gap, bounded, because a float ends at a gap of 709; None for None."""
    return None if gap is None else math.exp(min(gap, 700.0))
