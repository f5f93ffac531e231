"""Section of the model card on zero-shot tasks: results of both models, and the protocol."""

from collections.abc import Sequence

from worker.evaluation.task_results import TaskResult

_HOW = (
    "Zero-shot tasks by lm-evaluation-harness {versions}, without a chat template; ± is the standard error. Two figures that "
    "differ by less than twice the standard error may differ by chance."
)


def tasks_section(dense: Sequence[TaskResult], pruned: Sequence[TaskResult]) -> str:
    """Return the section as Markdown, with a row for each metric of each task; empty if there are no results."""
    if not (dense or pruned):
        return ""
    before, after = _cells(dense), _cells(pruned)
    results = {result.task: result for result in (*dense, *pruned)}
    rows = ["| task | examples | few-shot | metric | dense | pruned |", "|---|---|---|---|---|---|"]
    for task, metric in dict.fromkeys([*before, *after]):
        known = results[task]
        found = (cells.get((task, metric), "not measured") for cells in (before, after))
        rows.append(f"| {_code(task)} | {known.samples} | {known.few_shot} | {_code(metric)} | {' | '.join(found)} |")
    versions = ", ".join(dict.fromkeys(result.harness for result in results.values()))
    return "\n".join([_HOW.format(versions=versions), "", *rows])


def _cells(results: Sequence[TaskResult]) -> dict[tuple[str, str], str]:
    """Return the table cells by task and metric."""
    return {
        (result.task, metric): f"{found.value:.4f}" + ("" if found.standard_error is None else f" ± {found.standard_error:.4f}")
        for result in results
        for metric, found in result.metrics.items()
    }


def _code(name: str) -> str:
    """Return the name as inline code that cannot break a Markdown table."""
    return f"`{' '.join(name.split()).replace('`', '').replace('|', '')}`"
