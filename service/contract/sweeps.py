"""Body of `POST /v1/sweeps`, and the life cycle of a sweep.

A sweep is a job template with axes, whose combinations are its points, or a search: a target, and the candidates among which
the most ambitious one that meets the target is wanted. Every point is a job.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from service.contract.display_names import DisplayName
from service.contract.parts import FieldError, Part
from service.contract.recipe.pattern import Pattern
from service.contract.recipe.presets import PresetName
from service.contract.targets import JudgeBy, Target

MAX_POINTS: Final = 200
"""Maximum number of points of a sweep with axes."""
MAX_SEARCH_POINTS: Final = 16
"""Maximum number of points of a search."""
MAX_CANDIDATES: Final = 1000


class SweepState(StrEnum):
    """State of a sweep. It follows from its jobs, and from requests to pause or cancel it."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    """Every point succeeded; a search has its answer."""
    FAILED = "failed"
    """Every point has ended, at least one without success."""
    CANCELLED = "cancelled"


ENDED: Final = frozenset({SweepState.FINISHED, SweepState.FAILED, SweepState.CANCELLED})


class SweepEventType(StrEnum):
    """Type of a sweep's event."""

    CREATED = "created"
    POINT_ADDED = "point_added"
    """A search or a retry has added a job."""
    POINT_ENDED = "point_ended"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCEL_REQUESTED = "cancel_requested"
    REOPENED = "reopened"
    """A point of an ended sweep is retried."""
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SearchEnd(StrEnum):
    """Outcome of a search."""

    FOUND = "found"
    """The answer meets the target, and the next candidate does not."""
    ALL_MEET = "all_meet"
    """The most ambitious candidate meets the target."""
    NONE_MEETS = "none_meets"
    """Not even the least ambitious candidate meets the target."""
    POINTS_SPENT = "points_spent"
    """`max_points` were measured before the answer was certain: candidates between `answer` and `next` were not measured."""


class Over(Part):
    """Candidates of a search: exactly one of `sparsity`, `patterns` and `presets`."""

    sparsity: list[Annotated[float, Field(ge=0, lt=1)]] | None = Field(
        None, min_length=2, max_length=2, description="lowest and highest unstructured sparsity", examples=[[0.3, 0.8]]
    )
    step: float = Field(0.01, ge=0.001, le=0.5, description="distance between candidate sparsities")
    patterns: list[Pattern] | None = Field(
        None, min_length=2, max_length=64, description="patterns, in any order; the sparsest one that meets the target is wanted"
    )
    presets: list[PresetName] | None = Field(
        None,
        min_length=2,
        max_length=8,
        description="presets, most wanted first, such as the cheapest; each meets what the one before it meets",
    )

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        given = [name for name in ("sparsity", "patterns", "presets") if getattr(self, name) is not None]
        if len(given) != 1:
            raise FieldError("", "give exactly one of sparsity, patterns and presets")
        if self.sparsity is not None:
            lowest, highest = self.sparsity
            if highest - lowest < self.step - 1e-9:
                raise FieldError(
                    "/sparsity", f"must be the lowest, then the highest sparsity, at least one step of {self.step:g} apart"
                )
        for name in ("patterns", "presets"):
            values = getattr(self, name) or []
            if len({str(each) for each in values}) < len(values):
                raise FieldError(f"/{name}", "names a candidate twice; name each once")
        return self


class SweepSpec(Part):
    """The body of `POST /v1/sweeps`: a template with `axes`, or with `target` and `over`."""

    name: DisplayName | None = Field(None, examples=["SmolLM2, presets and sparsities"])
    template: dict[str, Any] = Field(
        description="body of `POST /v1/jobs`, without what the axes or the search fill in",
        examples=[{"model": {"source": "local", "id": "SmolLM2-135M-Instruct"}}],
    )
    axes: dict[Annotated[str, Field(max_length=256)], list[Any]] | None = Field(
        None,
        min_length=1,
        max_length=8,
        description=f"JSON pointers into the template, each with its values; every combination is a point, at most {MAX_POINTS}",
        examples=[{"/recipe/preset": ["fast", "balanced"], "/recipe/pattern/sparsity": [0.4, 0.5, 0.6]}],
    )
    target: Target | None = Field(None, description="search: the bound that the answer must meet")
    over: Over | None = Field(None, description="search: the candidates")
    max_points: int = Field(8, ge=2, le=MAX_SEARCH_POINTS, description="search: maximum number of points")
    judge_by: JudgeBy = Field(
        "interval",
        description="search: whether the bound must hold for the whole 95 % interval of the measurement, or for its value alone",
    )
    try_first: PresetName | None = Field(
        None, description="search over sparsity: a cheaper preset that narrows the range; the template's recipe then takes over"
    )
    keep: Literal["all", "front", "best"] | None = Field(
        None,
        description="artifacts that stay after the end: of all points, of those on the front of sparsity and quality, or of a "
        "search's answer only; by default `best` for a search, else `all`",
    )

    @property
    def is_search(self) -> bool:
        """Whether points are chosen by a search."""
        return self.target is not None

    @property
    def kept(self) -> Literal["all", "front", "best"]:
        """`keep` with its default filled in."""
        return self.keep or ("best" if self.is_search else "all")

    @model_validator(mode="after")
    def _has_axes_or_target(self) -> Self:
        if (self.target is None) != (self.over is None):
            missing, other = ("target", "over") if self.target is None else ("over", "target")
            raise FieldError(f"/{missing}", f"is required with {other}")
        if (self.axes is None) == (self.target is None):
            raise FieldError("", "give either axes, or target and over")
        if self.keep == "best" and not self.is_search:
            raise FieldError("/keep", "best needs a target; use all or front")
        if self.try_first is not None and (self.over is None or self.over.sparsity is None):
            raise FieldError("/try_first", "applies to a search over sparsity only; leave it out")
        return self
