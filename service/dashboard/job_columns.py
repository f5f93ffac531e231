"""Columns of the job list and the texts of their cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from service.dashboard.formats import figure, pattern, recipe, share, short_recipe
from service.database.tables.jobs import Job
from service.jobs.sorting import JobOrder
from service.kit import quantities


@dataclass(frozen=True)
class Column:
    """Column of the list."""

    title: str
    order: JobOrder | None = None
    """Order of the first click on its heading; None if jobs cannot be sorted by it."""
    is_number: bool = False
    is_usual: bool = True
    """Whether it is shown by default."""


NAME: Final = Column("Name", JobOrder.NAME)
"""First column, which is always shown."""
COLUMNS: Final[Mapping[str, Column]] = {
    "state": Column("State", JobOrder.STATE),
    "model": Column("Model", JobOrder.MODEL, is_usual=False),
    "sparsity": Column("Sparsity", JobOrder.SPARSEST, is_number=True),
    "recipe": Column("Recipe"),
    "perplexity": Column("Perplexity", JobOrder.BEST_PERPLEXITY, is_number=True),
    "agreement": Column("Agreement", JobOrder.MOST_AGREEMENT, is_number=True),
    "size": Column("Size", JobOrder.SMALLEST, is_number=True),
    "duration": Column("Duration", JobOrder.SHORTEST, is_number=True),
    "priority": Column("Priority", JobOrder.MOST_URGENT, is_number=True, is_usual=False),
    "labels": Column("Labels"),
    "created": Column("Created", JobOrder.NEWEST),
    "ended": Column("Ended", JobOrder.LAST_ENDED, is_usual=False),
}
"""Columns by their name in the URL, in their order."""
ORDERS: Final[Mapping[JobOrder, str]] = {
    JobOrder.NEWEST: "newest first",
    JobOrder.OLDEST: "oldest first",
    JobOrder.NAME: "name",
    JobOrder.MODEL: "model",
    JobOrder.STATE: "state",
    JobOrder.SPARSEST: "sparsest first",
    JobOrder.BEST_PERPLEXITY: "lowest perplexity first",
    JobOrder.MOST_AGREEMENT: "highest agreement first",
    JobOrder.SMALLEST: "smallest artifact first",
    JobOrder.SHORTEST: "shortest run first",
    JobOrder.LAST_ENDED: "last ended first",
    JobOrder.MOST_URGENT: "highest priority first",
}
"""Orders offered by name, where headings are not shown."""
DEFAULT_COLUMNS: Final = tuple(name for name, column in COLUMNS.items() if column.is_usual)


@dataclass(frozen=True)
class JobRow:
    """One job of the list, with the texts of cells that the templates cannot make from its columns."""

    job: Job
    sparsity: str
    recipe: str
    """Preset, or the recipe in words."""
    recipe_words: str
    perplexity: str
    change: str
    """Difference to the dense model's perplexity; empty if that was not measured."""
    dataset: str
    agreement: str

    @classmethod
    def of(cls, job: Job) -> "JobRow":
        """Return the row of a job."""
        dense, pruned = first_perplexity(job.metrics, "dense"), first_perplexity(job.metrics, "pruned")
        value, base = pruned.get("perplexity"), dense.get("perplexity")
        is_comparable = dense.get("dataset") == pruned.get("dataset")
        return cls(
            job=job,
            sparsity=pattern(job.spec),
            recipe=short_recipe(job.spec),
            recipe_words=recipe(job.spec),
            perplexity=figure(value),
            change=quantities.change(value, base) if value and base and is_comparable else "",
            dataset=pruned.get("dataset", ""),
            agreement=share(job.agreement, 1),
        )


def first_perplexity(metrics: Mapping[str, Any] | None, which: Literal["dense", "pruned"]) -> Mapping[str, Any]:
    """Return the measurement of a model on the first data set; empty without one."""
    measured: list[dict[str, Any]] = ((metrics or {}).get(which) or {}).get("perplexity") or []
    return measured[0] if measured else {}
