"""Measures of points and their measurement conditions: only values measured under the same conditions share a chart."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from service.contract.readings import Quantity
from service.dashboard.formats import words
from service.dashboard.points.point import RATIO, Point

_FIRST: Final = ("perplexity", RATIO, "top1_agreement", "kl_divergence", "acc", "acc_norm")
_LAST: Final = ("prefill_tokens_per_second", "decode_tokens_per_second", "packed_bytes", "artifact_bytes", "seconds",
                "peak_host_bytes", "peak_device_bytes", "layer_error")  # fmt: skip
_NOT_SHOWN: Final = frozenset({"sparsity"})
_WORDS: Final = {"few_shot": "shots", "max_new_tokens": "new tokens"}
_FLAGS: Final = {"bos_per_window": "BOS at the head of each window", "chat": "chat template"}


@dataclass(frozen=True)
class Condition:
    """Quantity under one set of conditions, and how many points have it."""

    quantity: Quantity
    count: int

    @property
    def key(self) -> str:
        """Text for the page's URL."""
        return conditions_key(self.quantity)

    @property
    def text(self) -> str:
        """Conditions in words."""
        return conditions_text(self.quantity)


def names(points: Iterable[Point]) -> list[str]:
    """Return the measures that at least one point has, qualities first."""
    found = {quantity.name for point in points for quantity in point.found if quantity.model != "dense"} - _NOT_SHOWN
    rest = sorted(found - {*_FIRST, *_LAST})
    return [name for name in (*_FIRST, *rest, *_LAST) if name in found]


def conditions(points: Sequence[Point], name: str) -> list[Condition]:
    """Return the conditions under which the measure was taken, those with the most points first."""
    counts = Counter(
        quantity for point in points for quantity in point.found if quantity.name == name and quantity.model != "dense"
    )
    return [Condition(quantity, count) for quantity, count in counts.most_common()]


def conditions_key(quantity: Quantity) -> str:
    """Return data set and conditions as one text."""
    return "|".join([quantity.on or "", *(f"{name}={value}" for name, value in quantity.conditions)])


def conditions_text(quantity: Quantity) -> str:
    """Return `wiki-sample:test, 20 × 512 tokens`; empty for a quantity of the job as a whole."""
    return ", ".join(filter(None, [quantity.on, how_text(quantity)]))


def how_text(quantity: Quantity) -> str:
    """Return the conditions without the data set, `20 × 512 tokens`; empty without any."""
    how, parts = dict(quantity.conditions), []
    windows, length, tokens = how.pop("windows", None), how.pop("sequence_length", None), how.pop("tokens", None)
    if windows and length:
        parts.append(f"{windows:,} × {length:,} tokens")
    elif windows and tokens:
        parts.append(f"{windows:,} windows, {tokens:,} tokens")
    parts += [_FLAGS.get(name) or f"{value:,} {_WORDS.get(name, words(name))}" for name, value in how.items()]
    return ", ".join(parts)
