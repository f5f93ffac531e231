"""About how many tokens a job's texts have, from the characters that are known of them."""

from collections.abc import Mapping
from typing import Final

from service.contract import JobSpec, is_upload
from service.contract.datasets import WHOLE, evaluated_windows
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
"""Of the built-in data sets, as far as the worker reads them."""
_UPLOAD_SHARES: Final = {"train": 0.9, "test": 0.1, WHOLE: 1.0}
_CHARACTERS_PER_TOKEN: Final = 4.2
"""Of English prose in the vocabularies of today, a little less than most give: rather too many tokens than too few."""
_CORPORA: Final = {"c4-sample": "C4", "c4": "C4", "wiki-sample": "Wikipedia", "wikitext2": "Wikipedia"}


def text_tokens(spec: JobSpec, uploaded: Mapping[str, int]) -> TextTokens:
    """`uploaded` are the characters of the tenant's uploads, by id; those that are not there count as empty."""
    read = [_tokens(reference, uploaded) for reference in (spec.calibration.dataset, *spec.evaluation.perplexity)]
    evaluated = [_evaluated(spec, reference, uploaded) for reference in spec.evaluation.perplexity]
    return TextTokens(longest=max(read), evaluated=max(evaluated, default=0))


def evaluated_tokens(spec: JobSpec, uploaded: Mapping[str, int]) -> int:
    """That go through a model: whole windows of every data set, twice where the dense model is measured, too."""
    taken = sum(_evaluated(spec, reference, uploaded) for reference in spec.evaluation.perplexity)
    return taken * (2 if spec.evaluation.baseline else 1)


def related(spec: JobSpec) -> list[str]:
    """The data sets to be evaluated that come from the corpus which calibration takes, under another name."""
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
