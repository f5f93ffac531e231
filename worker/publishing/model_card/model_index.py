"""Measurements of a model card in the form that the Hub reads: the front matter's `model-index`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_HUB_SETS: Final = {"wikitext2": ("Salesforce/wikitext", "wikitext-2-raw-v1"), "c4": ("allenai/c4", "en")}
"""Repository and configuration of the data sets that are on the Hub."""
_TASK: Final = "text-generation"


def eval_results(pruned: Mapping[str, Any]) -> "list[EvalResult]":
    """Return all measurements of the pruned model, which is that part of the job's metrics."""
    return [*_perplexities(pruned), *_tasks(pruned)]


def _perplexities(pruned: Mapping[str, Any]) -> "Iterator[EvalResult]":
    from huggingface_hub import EvalResult

    for each in pruned.get("perplexity") or ():
        name, _, split = each["dataset"].partition(":")
        repository, config = _HUB_SETS.get(name, (name, None))
        yield EvalResult(
            task_type=_TASK,
            dataset_type=repository,
            dataset_name=name,
            dataset_config=config,
            dataset_split=split or None,
            metric_type="perplexity",
            metric_name="perplexity",
            metric_value=each["perplexity"],
            metric_args=_said(each, "sequence_length", "windows", "tokens", "bos", "ci95"),
        )


def _tasks(pruned: Mapping[str, Any]) -> "Iterator[EvalResult]":
    from huggingface_hub import EvalResult

    for each in pruned.get("tasks") or ():
        for metric, measured in each["metrics"].items():
            yield EvalResult(
                task_type=_TASK,
                dataset_type=each["task"],
                dataset_name=each["task"],
                metric_type=metric,
                metric_name=metric,
                metric_value=measured["value"],
                metric_args=_said(each | measured, "few_shot", "samples", "version", "harness", "standard_error"),
            )


def _said(measured: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: measured[name] for name in names if measured.get(name) is not None}
