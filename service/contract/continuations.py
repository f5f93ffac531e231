"""Continuations of one prompt by two models, cut at their first difference, for pages, reports and the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Two continuations with the same beginning."""

    common: str
    dense: str
    """Rest of the dense model's continuation, from its first different word."""
    pruned: str


def cut_at_difference(dense: str, pruned: str) -> Pair:
    """Return the common beginning, up to a whole word, and both rests."""
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(dense, pruned, strict=False)))
    if not length == len(dense) == len(pruned):
        while length and _is_within_word(length, dense, pruned):
            length -= 1
    return Pair(dense[:length], dense[length:], pruned[length:])


def _is_within_word(place: int, *texts: str) -> bool:
    return any(place < len(text) and text[place - 1].isalnum() and text[place].isalnum() for text in texts)


def pair_of(sample: Mapping[str, Any]) -> Pair:
    """Return the continuations of a sample in a job's metrics; without a dense one, all of the pruned one is common."""
    pruned = sample["pruned"]["text"]
    return cut_at_difference(sample["dense"]["text"], pruned) if sample.get("dense") else Pair(pruned, "", "")


def summary(samples: Mapping[str, Any]) -> str:
    """Return the figures of all samples in a sentence."""
    found: Sequence[Mapping[str, Any]] = samples["continuations"]
    repetition = samples["repetition"]
    parts = []
    if samples.get("equal_share") is not None:
        parts.append(f"{samples['identical']} of {len(found)} continuations are identical")
        parts.append(f"{samples['equal_share']:.0%} of the tokens come before the first difference".replace("%", " %"))
    models = [f"{model} {repetition[model]:.0%}".replace("%", " %") for model in ("dense", "pruned") if model in repetition]
    return "; ".join([*parts, f"repeated 4-grams: {', '.join(models)}"]) + "."
