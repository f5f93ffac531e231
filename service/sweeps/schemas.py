"""API schemas of sweeps."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.contract.failures import Failure
from service.contract.figures import Figure, dense_figures, figures
from service.contract.judging import NotMeasured
from service.contract.readings import Better, Number
from service.contract.recipe.names import pattern_name, recipe_name
from service.contract.states import JobState
from service.contract.sweeps import SearchEnd, SweepSpec, SweepState
from service.contract.targets import target_text
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep
from service.sweeps import front as pareto
from service.sweeps.candidates import gap_to
from service.sweeps.wording import search_text, values_text

_MODEL: Final = {"source": "local", "id": "SmolLM2-135M-Instruct"}
_DATA: Final = {
    "calibration": {"dataset": "c4-sample", "num_samples": 16, "sequence_length": 512},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 512},
}
SWEEP_EXAMPLES: Final[dict[str, Any]] = {
    "axes": {
        "summary": "Three presets at four sparsities",
        "value": {
            "name": "SmolLM2, presets and sparsities",
            "template": {"model": _MODEL, **_DATA},
            "axes": {"/recipe/preset": ["fast", "balanced", "best"], "/recipe/pattern/sparsity": [0.4, 0.5, 0.6, 0.7]},
        },
    },
    "search": {
        "summary": "The sparsest model whose perplexity rises by at most 5 %",
        "value": {
            "template": {"model": _MODEL, "recipe": {"preset": "balanced"}, **_DATA},
            "target": {"metric": "perplexity", "dataset": "wiki-sample", "at_most_increase": 0.05},
            "over": {"sparsity": [0.2, 0.8]},
        },
    },
}


class FigureView(BaseModel):
    """Measured value with its 95 % interval."""

    model_config = ConfigDict(from_attributes=True)

    value: Number
    low: float | None = Field(description="lower end of the 95 % interval; null without one")
    high: float | None
    better: Better | None = Field(description="direction of improvement; null if there is none")


class PointView(BaseModel):
    """Point of a sweep: a job, and what it has measured."""

    position: int = Field(description="number of the point, from 0")
    values: dict[str, Any] = Field(description="what it sets in the template, by JSON pointer")
    text: str = Field(description="the values in words", examples=["fast, 50 %"])
    job_id: UUID = Field(description="the point's job; after a retry, the newest")
    state: JobState
    preset: str | None
    pattern: str = Field(examples=["50 %"])
    recipe: str = Field(examples=["wanda, then swaps, propagated"])
    figures: dict[str, FigureView] = Field(
        description="measurements by name: the quantity and what it was measured on, such as `perplexity:wiki-sample:test`"
    )
    on_front: bool = Field(description="whether it is on the Pareto front of `front`")
    gap: float | None = Field(description="search: ln(damage / bound); zero or less meets the target. Null until measured")
    error: Failure | None = Field(description="why its job failed")
    artifact_removed_at: datetime | None = Field(description="when its artifact was removed")

    @classmethod
    def of(cls, job: Job, measured: Mapping[str, Figure], *, on_front: bool, gap: float | None) -> Self:
        """Return the view of a point."""
        recipe = job.spec["recipe"]
        return cls(
            position=job.sweep_position or 0,
            values=job.sweep_values or {},
            text=values_text(job.sweep_values or {}),
            job_id=job.id,
            state=JobState(job.state),
            preset=recipe.get("preset"),
            pattern=pattern_name(recipe),
            recipe=recipe_name(recipe),
            figures={name: FigureView.model_validate(figure) for name, figure in measured.items()},
            on_front=on_front,
            gap=gap,
            error=Failure.model_validate(job.error) if job.error else None,
            artifact_removed_at=job.artifact_removed_at,
        )


class BracketEndView(BaseModel):
    """Measured candidate at an end of a search's bracket."""

    position: int = Field(description="number of the point")
    values: dict[str, Any]


class SearchView(BaseModel):
    """Progress and answer of a search."""

    target: str = Field(examples=["perplexity on wiki-sample:test at most 5 % above the dense model's"])
    end: SearchEnd | None = Field(description="outcome; null while the search runs")
    answer: BracketEndView | None = Field(description="the most ambitious candidate so far that meets the target")
    next: BracketEndView | None = Field(description="the least ambitious one above it that does not")
    candidates: int = Field(description="number of candidates")
    monotone: bool = Field(description="whether all measured candidates below the answer meet the target, too")
    text: str = Field(description="answer or progress as a sentence")

    @classmethod
    def of(cls, sweep: Sweep, spec: SweepSpec) -> Self:
        """Return the view of a search."""
        assert spec.target is not None
        assert spec.over is not None
        stored = sweep.search or {}
        end = SearchEnd(stored["end"]) if stored.get("end") else None
        low, high = stored.get("answer"), stored.get("next")
        return cls(
            target=target_text(spec.target),
            end=end,
            answer=low,
            next=high,
            candidates=stored.get("candidates", 0),
            monotone=stored.get("monotone", True),
            text=search_text(spec.target, spec.over, end, low and low["values"], high and high["values"]),
        )


class SweepLinks(BaseModel):
    """Paths of related resources."""

    self: str
    jobs: str
    events: str
    csv: str

    @classmethod
    def of(cls, sweep_id: UUID) -> "SweepLinks":
        """Return the paths of a sweep."""
        path = f"/v1/sweeps/{sweep_id}"
        return cls(self=path, jobs=f"/v1/jobs?sweep={sweep_id}", events=f"{path}/events", csv=f"{path}/points.csv")


class SweepView(BaseModel):
    """Sweep, without its points."""

    id: UUID
    state: SweepState
    name: str | None
    model: str
    labels: dict[str, str]
    spec: dict[str, Any] = Field(description="the body with all defaults and the model's revision pinned")
    jobs: dict[JobState, int] = Field(
        description="number of points by the state of their job", examples=[{"succeeded": 11, "running": 1}]
    )
    points: int = Field(description="number of points so far")
    search: SearchView | None = Field(description="null for a sweep over axes")
    error: str | None = Field(description="why a search could not continue, if no job failed")
    created_at: datetime
    finished_at: datetime | None
    links: SweepLinks

    @classmethod
    def of(cls, sweep: Sweep, jobs: Mapping[JobState, int]) -> Self:
        """Return the view of a sweep and the number of its points by state."""
        return cls(**_fields(sweep, jobs))


def _fields(sweep: Sweep, jobs: Mapping[JobState, int]) -> dict[str, Any]:
    spec = SweepSpec.model_validate(sweep.spec)
    return {
        "id": sweep.id,
        "state": SweepState(sweep.state),
        "name": sweep.name,
        "model": sweep.model,
        "labels": sweep.labels,
        "spec": sweep.spec,
        "jobs": dict(jobs),
        "points": sum(jobs.values()),
        "search": SearchView.of(sweep, spec) if spec.is_search else None,
        "error": (sweep.error or {}).get("detail"),
        "created_at": sweep.created_at,
        "finished_at": sweep.finished_at,
        "links": SweepLinks.of(sweep.id),
    }


class SweepDetail(SweepView):
    """Sweep with its points."""

    front: list[str] = Field(description="measures of the Pareto front; empty until a point has measured any")
    dense: dict[str, FigureView] = Field(description="measurements of the dense model, by name")
    table: list[PointView] = Field(description="points in their order")

    @classmethod
    def with_points(cls, sweep: Sweep, jobs: Sequence[Job], measures: Sequence[str]) -> Self:
        """Return a sweep with its points, in their order, and the front of these measures.

        Raises:
            InvalidInput: a measure is unknown, or ambiguous.
        """
        measured = [figures(job.metrics) for job in jobs]
        names = pareto.chosen(measured, measures)
        on_front = pareto.front(measured, names)
        counts: dict[JobState, int] = {}
        for job in jobs:
            counts[JobState(job.state)] = counts.get(JobState(job.state), 0) + 1
        spec = SweepSpec.model_validate(sweep.spec)
        dense = dense_figures(job.metrics for job in jobs)
        return cls(
            **_fields(sweep, counts),
            front=list(names),
            dense={name: FigureView.model_validate(figure) for name, figure in dense.items()},
            table=[
                PointView.of(job, each, on_front=index in on_front, gap=gap_of(spec, job))
                for index, (job, each) in enumerate(zip(jobs, measured, strict=True))
            ],
        )


def gap_of(spec: SweepSpec, job: Job) -> float | None:
    """Return ln(damage / bound) of a search's point, zero or less if it meets the target; None until it is measured."""
    if spec.target is None or not job.metrics or job.state != JobState.SUCCEEDED:
        return None
    try:
        return round(gap_to(spec.target, job.metrics, by_interval=spec.judge_by == "interval"), 6)
    except NotMeasured:
        return None


class SweepPage(BaseModel):
    """Page of sweeps, newest first."""

    items: list[SweepView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")


class PlannedPointView(BaseModel):
    """Point of a planned sweep."""

    position: int
    values: dict[str, Any]
    text: str
    run_seconds: float | None = Field(
        description="estimated seconds from the claim to the end; null where no past job is of about this size"
    )
    run_seconds_low: float | None = Field(description="lower end of its range")
    run_seconds_high: float | None = Field(description="upper end of its range")


class SweepPlanView(BaseModel):
    """Dry run of a sweep. Nothing is stored."""

    spec: dict[str, Any]
    points: int = Field(description="number of jobs; for a search the maximum")
    table: list[PlannedPointView] = Field(description="points in their order; for a search its first one")
    run_seconds: float | None = Field(
        description="estimated seconds of all jobs together; null where no past job is of about this size"
    )
    run_seconds_low: float | None = Field(description="lower end of its range")
    run_seconds_high: float | None = Field(description="upper end of its range")
    wall_seconds: float | None = Field(description="estimated seconds until the end on the workers online")
    wall_seconds_low: float | None = Field(description="lower end of its range")
    wall_seconds_high: float | None = Field(description="upper end of its range")
    note: str | None = Field(description="why the times are null", examples=["estimate after 2 blocks"])
    disk_bytes: int | None = Field(description="maximum use of a worker's disk by one of the jobs")
    artifact_bytes: int | None = Field(description="size of all artifacts until the end; afterwards `keep` decides")
    queued_jobs: int
    max_queued_jobs: int
    able_workers: int = Field(description="workers online that may run the jobs")
    warnings: list[str]
