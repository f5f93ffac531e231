"""Table of jobs."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any, Final

from service.cli.comparing import SHORT
from service.cli.job_views import how_far, recipe, took
from service.cli.output import local_time, note, print_table
from service.client import Job
from service.contract.recipe.names import pattern_name, short_recipe_name
from service.kit.quantities import age, change, figure, size

_COLUMNS: Final = 80
_GAP: Final = 2
_LEAST_NAME: Final = 8
_NARROW: Final = ("job!", "name", "state", "sparsity>", "recipe", "perplexity>", "age>")
_WIDE: Final = (
    "job!", "name", "model", "state", "sparsity>", "recipe", "perplexity>", "change>", "agreement>", "size>", "labels", "created",
    "took>",
)  # fmt: skip


def print_jobs(jobs: Sequence[Job], *, is_wide: bool = False) -> None:
    """Print a table of jobs that fits 80 columns, or with `is_wide` nothing shortened and more columns."""
    if not jobs:
        note("no jobs")
    elif is_wide:
        print_table(_WIDE, [_wide_row(job) for job in jobs])
    else:
        print_table(_NARROW, list(_fitted([_narrow_row(job, datetime.now(UTC)) for job in jobs])))


def _fitted(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield the rows with their names, the second cells, cut to what the others leave of the terminal's width, or of 80."""
    titles = [title.rstrip("!>") for title in _NARROW]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    rest = sum(widths) - widths[1] + _GAP * len(widths)
    room = max(get_terminal_size((_COLUMNS, 0)).columns - rest, _LEAST_NAME)
    yield from ((job, _cut(name, room), *more) for job, name, *more in rows)


def _narrow_row(job: Job, now: datetime) -> tuple[str, ...]:
    name = job.name or job.model.rpartition("/")[2]
    return (
        job.id[:SHORT],
        name,
        _short_state(job),
        pattern_name(job.spec["recipe"]),
        _cut(short_recipe_name(job.spec["recipe"]), 11),
        " ".join(_perplexity_and_change(job.metric_values)),
        age((now - job.created_at).total_seconds()),
    )


def _wide_row(job: Job) -> tuple[str, ...]:
    agreement = next(iter((job.metric_values or {}).get("agreement") or []), None)
    return (
        job.id,
        job.name or "",
        job.model,
        how_far(job),
        pattern_name(job.spec["recipe"]),
        recipe(job),
        *_perplexity_and_change(job.metric_values),
        f"{agreement['top1_agreement']:.1%}".replace("%", " %") if agreement else "",
        size(job.metric_values["bytes"]) if job.metric_values and job.metric_values.get("bytes") else "",
        " ".join(f"{name}={value}" for name, value in job.labels.items()),
        local_time(job.created_at),
        took(job),
    )


def _short_state(job: Job) -> str:
    if job.progress is None or job.has_ended:
        return str(job.state)
    return f"{job.state} {job.progress.done / max(job.progress.total, 1):.0%}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _perplexity_and_change(metrics: dict[str, Any] | None) -> tuple[str, str]:
    """Return the pruned model's perplexity on the first data set, and its change from the dense model's, as far as measured."""
    dense, pruned = (_first(metrics, which) for which in ("dense", "pruned"))
    if not pruned:
        return "", ""
    is_comparable = dense and dense["dataset"] == pruned["dataset"]
    return figure(pruned["perplexity"]), change(pruned["perplexity"], dense["perplexity"]) if is_comparable else ""


def _first(metrics: dict[str, Any] | None, which: str) -> dict[str, Any]:
    measured: list[dict[str, Any]] = ((metrics or {}).get(which) or {}).get("perplexity") or []
    return measured[0] if measured else {}
