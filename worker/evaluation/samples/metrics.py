"""Comparison of continuations, in reported form. Figures are counted in tokens, not in characters.

An end-of-text token counts as a token: to end is a choice of the model like any other.
"""

from collections.abc import Sequence
from itertools import takewhile
from statistics import fmean
from typing import Self

from pydantic import Field

from worker.evaluation.perplexity import Metric

_GRAM = 4


class Continuation(Metric):
    """Continuation of a prompt by one model."""

    text: str
    tokens: int = Field(ge=0)
    repetition: float = Field(ge=0, le=1)
    """Share of the 4-grams of tokens that occurred before in the continuation."""

    @classmethod
    def of(cls, text: str, tokens: Sequence[int]) -> Self:
        """Return the continuation of these tokens."""
        return cls(text=text, tokens=len(tokens), repetition=repetition(tokens))


class Sample(Metric):
    """Continuations of one prompt. Comparisons are None without the dense model."""

    prompt: str
    dense: Continuation | None
    pruned: Continuation
    first_difference: int | None
    """Index of the first token that differs; None also if all are equal."""
    equal_share: float | None
    """Tokens before the first difference as a share of the longer continuation."""


class Samples(Metric):
    """Continuations of all prompts, with means over the prompts."""

    prompts: str
    """`built-in`, or a hash of the job's own prompts: figures are comparable only between equal prompts."""
    max_new_tokens: int
    chat: bool
    cached: bool = False
    """Whether the dense model's tokens come from an earlier job on this host."""
    continuations: list[Sample]
    identical: int | None
    """Number of prompts for which all tokens are equal."""
    equal_share: float | None
    repetition: dict[str, float]
    """By model: `dense`, `pruned`."""
    tokens: dict[str, float]
    """Mean length by model."""


def repetition(tokens: Sequence[int]) -> float:
    """Return the share of 4-grams that occurred before; 0 for fewer than four tokens."""
    grams = [tuple(tokens[start : start + _GRAM]) for start in range(len(tokens) - _GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return the index of the first different token, the shorter length if one begins with the other; None if they are equal."""
    if list(one) == list(other):
        return None
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def equal_share(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the tokens before the first difference as a share of the longer sequence."""
    place = first_difference(one, other)
    return 1.0 if place is None else place / max(len(one), len(other))


def sample_of(prompt: str, texts: Sequence[str], tokens: Sequence[Sequence[int]]) -> Sample:
    """Return a sample of the pruned model's continuation, or of the dense and the pruned one's."""
    *dense, pruned = map(Continuation.of, texts, tokens)
    *before, after = tokens
    return Sample(
        prompt=prompt,
        dense=dense[0] if dense else None,
        pruned=pruned,
        first_difference=first_difference(before[0], after) if before else None,
        equal_share=equal_share(before[0], after) if before else None,
    )


def samples_of(found: Sequence[Sample], *, prompts: str, max_new_tokens: int, chat: bool, cached: bool) -> Samples:
    """Return the samples with their means."""
    shares = [each.equal_share for each in found if each.equal_share is not None]
    models = {"dense": [each.dense for each in found if each.dense], "pruned": [each.pruned for each in found]}
    return Samples(
        prompts=prompts,
        max_new_tokens=max_new_tokens,
        chat=chat,
        cached=cached,
        continuations=list(found),
        identical=shares.count(1.0) if shares else None,
        equal_share=fmean(shares) if shares else None,
        repetition={model: fmean(each.repetition for each in of) for model, of in models.items() if of},
        tokens={model: fmean(each.tokens for each in of) for model, of in models.items() if of},
    )
