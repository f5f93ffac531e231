"""What a job asks of the engine: five independent choices, as plain data.

A recipe comes from the job's JSON object. A preset fills it and the fields given beside it win; `to_dict` gives it back
with everything filled in, so that a stored recipe can be repeated. Whatever does not fit together is refused in one
sentence that names the field and says what is available.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.engine.allocation import Allocation
from worker.engine.architectures import Outline
from worker.engine.recipe_fields import Fields
from worker.engine.saliency import Criterion


class Preset(StrEnum):
    """Named recipes: the method of the DSnoT paper, and what its released code does when run as it comes."""

    DSNOT_PAPER = "dsnot-paper"
    DSNOT_REFERENCE = "dsnot-reference"


class PatternType(StrEnum):
    """Where zeros may stand."""

    UNSTRUCTURED = "unstructured"
    N_OF_M = "n:m"


class RefinementMethod(StrEnum):
    """How the first mask is improved."""

    NONE = "none"
    DSNOT = "dsnot"


class UpdateMethod(StrEnum):
    """What the kept weights become."""

    NONE = "none"


class Accept(StrEnum):
    """Whether a row always takes its refined mask, or only if its true error did not grow."""

    IF_BETTER = "if_better"
    ALWAYS = "always"


class Targets(StrEnum):
    """Which matrices are refined; all are pruned."""

    ALL = "all"
    ATTENTION = "attention"


class Variance(StrEnum):
    """The variance that DSnoT divides by: over all tokens, or the mean of the variances within the samples."""

    POOLED = "pooled"
    WITHIN_SAMPLE = "within_sample"


@dataclass(frozen=True)
class Pattern:
    """Unstructured with a sparsity per row, or n:m; exactly one of the two fields is set."""

    sparsity: float | None = None
    n_of_m: tuple[int, int] | None = None

    @property
    def pruned_share(self) -> float:
        """The share of weights that the pattern prunes."""
        if self.n_of_m is not None:
            return 1 - self.n_of_m[0] / self.n_of_m[1]
        assert self.sparsity is not None
        return self.sparsity

    @classmethod
    def from_fields(cls, fields: Fields) -> "Pattern":
        if fields.choice("type", PatternType) is PatternType.UNSTRUCTURED:
            pattern = cls(sparsity=fields.number("sparsity", at_least=0, below=1))
        else:
            n, m = fields.integer("n", at_least=1), fields.integer("m", at_least=2)
            if n >= m:
                raise ValueError(f"recipe.pattern.n must be below recipe.pattern.m, not {n}:{m}.")
            pattern = cls(n_of_m=(n, m))
        fields.refuse_the_rest()
        return pattern

    def to_dict(self) -> dict[str, Any]:
        if self.n_of_m is not None:
            return {"type": str(PatternType.N_OF_M), "n": self.n_of_m[0], "m": self.n_of_m[1]}
        return {"type": str(PatternType.UNSTRUCTURED), "sparsity": self.sparsity}


@dataclass(frozen=True)
class Dsnot:
    """The options of DSnoT. `update_threshold` is in the paper's unit: sums over the tokens of one sample."""

    max_cycles: int
    update_threshold: float
    variance_power: float
    variance: Variance
    stop_on_sign_change: bool  # under n:m the sign rule is on in any case
    accept: Accept
    targets: Targets

    @classmethod
    def from_fields(cls, fields: Fields) -> "Dsnot":
        return cls(
            max_cycles=fields.integer("max_cycles", at_least=1),
            update_threshold=fields.number("update_threshold", at_least=0),
            variance_power=fields.number("variance_power", at_least=0),
            variance=fields.choice("variance", Variance),
            stop_on_sign_change=fields.truth("stop_on_sign_change"),
            accept=fields.choice("accept", Accept),
            targets=fields.choice("targets", Targets),
        )

    def to_dict(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"method": "dsnot"} | {k: str(v) if isinstance(v, StrEnum) else v for k, v in values.items()}


_DSNOT: dict[str, Any] = {
    "method": "dsnot",
    "max_cycles": 50,
    "update_threshold": 0.1,
    "variance_power": 1.0,
    "variance": "pooled",
    "stop_on_sign_change": True,
    "accept": "if_better",
    "targets": "all",
}
_REFERENCE = {"accept": "always", "variance": "within_sample", "stop_on_sign_change": False, "targets": "attention"}
_REFINEMENTS: dict[Preset | None, dict[str, Any]] = {
    None: _DSNOT,
    Preset.DSNOT_PAPER: _DSNOT | {"accept": "always"},
    Preset.DSNOT_REFERENCE: _DSNOT | _REFERENCE,
}
_UNSTRUCTURED = {"type": "unstructured", "sparsity": 0.5}


@dataclass(frozen=True)
class Recipe:
    """The five choices of a job, checked. `refinement` is None where the first mask stands as it is."""

    pattern: Pattern
    criterion: Criterion
    allocation: Allocation
    refinement: Dsnot | None
    update: UpdateMethod
    preset: Preset | None = field(default=None)

    @classmethod
    def from_dict(cls, recipe: Mapping[str, Any]) -> "Recipe":
        """The recipe of a job's JSON object; ValueError names the first field that is unknown or does not fit."""
        fields = Fields("recipe", recipe, {"preset": None, "criterion": "wanda", "allocation": "uniform"})
        preset = None if fields.get("preset") is None else fields.choice("preset", Preset)
        update = fields.section("update", {"method": "none"}, tag="method")
        built = cls(
            pattern=Pattern.from_fields(fields.section("pattern", _UNSTRUCTURED, tag="type")),
            criterion=fields.choice("criterion", Criterion),
            allocation=fields.choice("allocation", Allocation),
            refinement=_refinement(fields.section("refinement", _REFINEMENTS[preset], tag="method")),
            update=update.choice("method", UpdateMethod),
            preset=preset,
        )
        update.refuse_the_rest()
        fields.refuse_the_rest()
        return built

    def to_dict(self) -> dict[str, Any]:
        """Everything filled in, JSON-ready; `from_dict` of it gives this recipe again."""
        return {
            "preset": None if self.preset is None else str(self.preset),
            "pattern": self.pattern.to_dict(),
            "criterion": str(self.criterion),
            "allocation": str(self.allocation),
            "refinement": {"method": "none"} if self.refinement is None else self.refinement.to_dict(),
            "update": {"method": str(self.update)},
        }

    def check(self, outline: Outline) -> None:
        """ValueError naming the first matrix of the model whose inputs the pattern's m does not divide."""
        if self.pattern.n_of_m is None:
            return
        n, m = self.pattern.n_of_m
        for name, (_, width) in outline.matrices:
            if width % m:
                raise ValueError(f"The pattern {n}:{m} does not fit {name}: {m} does not divide its {width} inputs.")


def _refinement(fields: Fields) -> Dsnot | None:
    method = fields.choice("method", RefinementMethod)
    refinement = Dsnot.from_fields(fields) if method is RefinementMethod.DSNOT else None
    fields.refuse_the_rest()
    return refinement
