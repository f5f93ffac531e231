"""Targets: bounds on a metric of the pruned model, as searches and gates use them."""

from typing import Annotated, Final, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from service.contract.datasets import canonical, reference_pattern
from service.contract.parts import FieldError, Part
from service.contract.tasks import TaskName

JudgeBy = Literal["interval", "mean"]
"""Whether a bound must hold for the whole 95 % interval of a measurement, or for its value alone."""

TASK: Final = "task:"
"""Prefix of a zero-shot task's name as a metric."""
_TASK_NAME: Final[TypeAdapter[str]] = TypeAdapter(TaskName)
_BOUNDS: Final = ("at_most", "at_most_increase", "at_least", "at_most_decrease")
_BOUNDS_OF: Final = {
    "perplexity": ("at_most", "at_most_increase"),
    "kl_divergence": ("at_most",),
    "top1_agreement": ("at_least",),
    TASK: ("at_least", "at_most_decrease"),
}
_NAMES: Final = {"kl_divergence": "KL divergence", "top1_agreement": "top-1 agreement"}


def _is_metric(name: str) -> str:
    if name.startswith(TASK):
        try:
            _TASK_NAME.validate_python(name.removeprefix(TASK))
        except ValidationError:
            raise ValueError("must name a task of lm-evaluation-harness after task:, such as task:arc_easy") from None
    elif name not in _BOUNDS_OF:
        raise ValueError("must be perplexity, kl_divergence, top1_agreement, or task:NAME, such as task:arc_easy")
    return name


_Bound = Annotated[float, Field(ge=0)]


class Target(Part):
    """Bound on one metric of the pruned model."""

    metric: Annotated[
        str,
        Field(max_length=140, description="`perplexity`, `kl_divergence`, `top1_agreement` or `task:NAME`"),
        AfterValidator(_is_metric),
    ] = "perplexity"
    dataset: (
        Annotated[
            str,
            Field(max_length=128, json_schema_extra={"pattern": reference_pattern()}),
            AfterValidator(canonical("evaluation")),
        ]
        | None
    ) = Field(None, description="the data set measured; null: the only one that is evaluated. Not for tasks")
    at_most: _Bound | None = Field(None, description="perplexity, kl_divergence: upper bound of the value")
    at_most_increase: _Bound | None = Field(
        None, description="perplexity: upper bound of the increase over the dense model; 0.05 is 5 %", examples=[0.05]
    )
    at_least: _Bound | None = Field(None, description="top1_agreement, tasks: lower bound of the value")
    at_most_decrease: _Bound | None = Field(
        None, description="tasks: upper bound of the decrease below the dense model, in units of the metric; 0.01 is one point"
    )

    @property
    def task(self) -> str | None:
        """Name of the zero-shot task; None for another metric."""
        return self.metric.removeprefix(TASK) if self.metric.startswith(TASK) else None

    @property
    def bound(self) -> tuple[str, float]:
        """Kind and value of the bound."""
        return next((name, getattr(self, name)) for name in _BOUNDS if getattr(self, name) is not None)

    @property
    def needs_dense(self) -> bool:
        """Whether the bound refers to the dense model."""
        return self.bound[0] in ("at_most_increase", "at_most_decrease") or self.metric in ("kl_divergence", "top1_agreement")

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        allowed = _BOUNDS_OF[TASK if self.task else self.metric]
        given = [name for name in _BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise FieldError("", f"give exactly one bound for {self.metric}: {' or '.join(allowed)}")
        if given[0] not in allowed:
            raise FieldError(f"/{given[0]}", f"does not apply to {self.metric}; use {' or '.join(allowed)}")
        if self.task and self.dataset is not None:
            raise FieldError("/dataset", "does not apply to tasks; leave it out")
        return self


class Measurements(Protocol):
    """Part of a job's body that says what is measured."""

    @property
    def perplexity(self) -> list[str]:
        """Data sets."""
        ...

    @property
    def tasks(self) -> list[str]:
        """Zero-shot tasks."""
        ...

    @property
    def baseline(self) -> bool:
        """Whether the dense model is measured."""
        ...

    @property
    def agreement_windows(self) -> int:
        """Windows on which both models are compared."""
        ...


AnyTarget = TypeVar("AnyTarget", bound=Target)


def on_data_set(target: AnyTarget, evaluation: Measurements, *, where: str) -> AnyTarget:
    """Return the target with its data set filled in; `where` is its JSON pointer.

    Raises:
        FieldError: it names none, and several are measured.
    """
    if target.task is not None or target.dataset is not None or not evaluation.perplexity:
        return target
    if len(evaluation.perplexity) > 1:
        raise FieldError(f"{where}/dataset", f"is required, because the jobs measure {', '.join(evaluation.perplexity)}")
    return target.model_copy(update={"dataset": evaluation.perplexity[0]})


def check_measured(target: Target, evaluation: Measurements, *, where: str, part: str, name: str) -> None:
    """Check that a job measures what the target is about.

    Args:
        where: JSON pointer of the target.
        part: JSON pointer of `evaluation`.
        name: name of `evaluation` in messages.

    Raises:
        FieldError: it does not; with the remedy.
    """
    if target.task is not None and target.task not in evaluation.tasks:
        raise FieldError(f"{where}/metric", f"the jobs do not measure {target.task}; add it to {name}.tasks")
    if target.task is None and target.dataset not in evaluation.perplexity:
        missing = target.dataset or "a data set"
        raise FieldError(f"{where}/dataset", f"the jobs do not measure {missing}; add it to {name}.perplexity")
    if target.needs_dense and not evaluation.baseline:
        detail = f"must be true, because {target_text(target)} refers to the dense model"
        raise FieldError(f"{part}/baseline", detail)
    if target.metric in ("kl_divergence", "top1_agreement") and not evaluation.agreement_windows:
        detail = f"must be at least 1, because {_NAMES[target.metric]} is measured on these windows"
        raise FieldError(f"{part}/agreement_windows", detail)


def target_text(target: Target) -> str:
    """Return `perplexity on wiki-sample:test at most 5 % above the dense model's`."""
    kind, bound = target.bound
    name = target.task or _NAMES.get(target.metric, target.metric)
    place = f" on {target.dataset}" if target.dataset else ""
    limits = {
        "at_most": f"at most {bound:g}",
        "at_most_increase": f"at most {bound * 100:g} % above the dense model's",
        "at_least": f"at least {bound:g}",
        "at_most_decrease": f"at most {bound:g} below the dense model's",
    }
    return f"{name}{place} {limits[kind]}"
