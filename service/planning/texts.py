"""Approximate token counts of a job's texts, from their numbers of characters."""

from collections.abc import Mapping
from typing import Final

from service.contract.datasets import WHOLE, evaluated_windows, is_upload
from service.contract.spec import JobSpec
from service.planning.memory import TextTokens

_CHARACTERS: Final = {
    "c4-sample:train": 1_187_000,
    "c4-sample:test": 133_000,
    "wiki-sample:train": 1_624_000,
    "wiki-sample:test": 182_000,
    "c4:train": 17_500_000,
    "c4:validation": 2_400_000,
    "wikitext2:train": 10_800_000,
    "wikitext2:validation": 1_120_000,
    "wikitext2:test": 1_260_000,
}
"""Characters of the built-in data sets that the worker reads."""
_UPLOAD_SHARES: Final = {"train": 0.9, "test": 0.1, WHOLE: 1.0}
_CHARACTERS_PER_TOKEN: Final = 4.2
"""Ratio for English prose in current vocabularies, slightly low, so that tokens are rather over- than underestimated."""
_CORPORA: Final = {"c4-sample": "C4", "c4": "C4", "wiki-sample": "Wikipedia", "wikitext2": "Wikipedia"}


def text_tokens(spec: JobSpec, uploaded: Mapping[str, int]) -> TextTokens:
    """Estimate the tokens of the job's texts. `uploaded`: characters of the tenant's uploads by id; missing ones count 0."""
    read = [_tokens(reference, uploaded) for reference in (spec.calibration.dataset, *spec.evaluation.perplexity)]
    evaluated = [_evaluated(spec, reference, uploaded) for reference in spec.evaluation.perplexity]
    return TextTokens(longest=max(read), evaluated=max(evaluated, default=0))


def evaluated_tokens(spec: JobSpec, uploaded: Mapping[str, int], weight_bytes: int) -> int:
    """Estimate the evaluated tokens: whole windows of every data set and the samples, twice with the dense model.

    `weight_bytes` are those of the model; a decoded token counts as the tokens that take as long in a batch.
    """
    evaluation = spec.evaluation
    taken = sum(_evaluated(spec, reference, uploaded) for reference in evaluation.perplexity)
    samples = evaluation.samples
    generated = samples.work(with_dense=evaluation.baseline) if samples and samples.are_taken_of(weight_bytes) else 0
    return taken * (2 if evaluation.baseline else 1) + generated


def related(spec: JobSpec) -> list[str]:
    """Return the evaluation data sets with another name but the same corpus as the calibration data set."""
    name = spec.calibration.dataset.partition(":")[0]
    corpus = _CORPORA.get(name)
    others = [reference for reference in spec.evaluation.perplexity if reference.partition(":")[0] != name]
    return [other for other in others if corpus is not None and _CORPORA.get(other.partition(":")[0]) == corpus]


def _evaluated(spec: JobSpec, reference: str, uploaded: Mapping[str, int]) -> int:
    length = spec.evaluation.sequence_length
    return length * evaluated_windows(reference, _tokens(reference, uploaded) // length, spec.evaluation.max_windows)


def _tokens(reference: str, uploaded: Mapping[str, int]) -> int:
    name, _, split = reference.partition(":")
    characters = uploaded.get(name, 0) * _UPLOAD_SHARES[split] if is_upload(name) else _CHARACTERS[reference]
    return int(characters / _CHARACTERS_PER_TOKEN)
