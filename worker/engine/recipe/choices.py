"""Recipe options other than criterion and allocation: the settings of each method, their defaults and bounds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from worker.engine.recipe.fields import Fields


class PatternType(StrEnum):
    """Sparsity pattern: which weights may be zero."""

    UNSTRUCTURED = "unstructured"
    N_OF_M = "n:m"


class Objective(StrEnum):
    """Target outputs that the mask and the updated weights of every matrix approximate."""

    LAYERWISE = "layerwise"  # the matrix's own dense output on the inputs from the pruned blocks before it
    PROPAGATED = "propagated"  # the dense model's output, residual stream included: compensates errors of earlier layers


class RefinementMethod(StrEnum):
    """Refinement of the first mask."""

    NONE = "none"
    DSNOT = "dsnot"
    SWAPS = "swaps"


class UpdateMethod(StrEnum):
    """Update of the kept weights."""

    NONE = "none"
    OBS = "obs"
    LEAST_SQUARES = "least_squares"
    ADMM = "admm"


class Accept(StrEnum):
    """Acceptance of a row's refined mask: always, or only if its reconstruction error did not rise."""

    IF_BETTER = "if_better"
    ALWAYS = "always"


class Targets(StrEnum):
    """Matrices to refine; all are pruned."""

    ALL = "all"
    ATTENTION = "attention"


class Variance(StrEnum):
    """Variance that DSnoT divides by: over all tokens, or the mean of the variances within the samples."""

    POOLED = "pooled"
    WITHIN_SAMPLE = "within_sample"


class MaskChoice(StrEnum):
    """Mask of ADMM: optimised jointly with the weights, or given by criterion and refinement."""

    JOINT = "joint"
    GIVEN = "given"


@dataclass(frozen=True)
class Pattern:
    """Sparsity pattern: unstructured with a sparsity per row, or n:m; exactly one of the two fields is set."""

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
        """Read and check the section `pattern` of a recipe."""
        if fields.choice("type", PatternType) is PatternType.UNSTRUCTURED:
            pattern = cls(sparsity=fields.number("sparsity", 0.5, at_least=0, below=1))
        else:
            n, m = fields.integer("n", at_least=1), fields.integer("m", at_least=2, at_most=1024)
            if n >= m:
                raise ValueError(f"recipe.pattern.n must be below recipe.pattern.m, not {n}:{m}.")
            pattern = cls(n_of_m=(n, m))
        fields.reject_unread()
        return pattern

    def to_dict(self) -> dict[str, Any]:
        """Return the section `pattern`, JSON-ready."""
        if self.n_of_m is not None:
            return {"type": str(PatternType.N_OF_M), "n": self.n_of_m[0], "m": self.n_of_m[1]}
        return {"type": str(PatternType.UNSTRUCTURED), "sparsity": self.sparsity}


@dataclass(frozen=True)
class Dsnot:
    """Options of DSnoT. `update_threshold` is in the paper's unit: sums over the tokens of one sample."""

    method: ClassVar[RefinementMethod] = RefinementMethod.DSNOT
    max_cycles: int
    update_threshold: float
    variance_power: float
    variance: Variance
    stop_on_sign_change: bool  # ignored under n:m, where the sign rule is always on
    accept: Accept
    targets: Targets

    @classmethod
    def from_fields(cls, fields: Fields) -> "Dsnot":
        """Read and check the options of DSnoT."""
        return cls(
            max_cycles=fields.integer("max_cycles", 50, at_least=1, at_most=10_000),
            update_threshold=fields.number("update_threshold", 0.1, at_least=0),
            variance_power=fields.number("variance_power", 1.0, at_least=0),
            variance=fields.choice("variance", Variance, Variance.POOLED),
            stop_on_sign_change=fields.truth("stop_on_sign_change", True),
            accept=fields.choice("accept", Accept, Accept.IF_BETTER),
            targets=fields.choice("targets", Targets, Targets.ALL),
        )


@dataclass(frozen=True)
class Swaps:
    """Options of exact swaps: at most `max_swaps` in every row."""

    method: ClassVar[RefinementMethod] = RefinementMethod.SWAPS
    max_swaps: int

    @classmethod
    def from_fields(cls, fields: Fields) -> "Swaps":
        """Read and check the options of exact swaps."""
        return cls(max_swaps=fields.integer("max_swaps", 200, at_least=1, at_most=1_000_000))


@dataclass(frozen=True)
class Obs:
    """Options of SparseGPT's update. `damping` is a share of the mean diagonal of the Gram matrix, as in all updates."""

    method: ClassVar[UpdateMethod] = UpdateMethod.OBS
    damping: float

    @classmethod
    def from_fields(cls, fields: Fields) -> "Obs":
        """Read and check the options of SparseGPT's update."""
        return cls(damping=_damping(fields, 0.01))


@dataclass(frozen=True)
class LeastSquares:
    """Options of least squares, the exact optimum of every row under its mask."""

    method: ClassVar[UpdateMethod] = UpdateMethod.LEAST_SQUARES
    damping: float

    @classmethod
    def from_fields(cls, fields: Fields) -> "LeastSquares":
        """Read and check the options of least squares."""
        return cls(damping=_damping(fields, 0.01))


@dataclass(frozen=True)
class Admm:
    """Options of ADMM, which converges to the optimum under a given mask, or optimises mask and weights jointly."""

    method: ClassVar[UpdateMethod] = UpdateMethod.ADMM
    iterations: int
    damping: float
    mask: MaskChoice

    @classmethod
    def from_fields(cls, fields: Fields) -> "Admm":
        """Read and check the options of ADMM."""
        return cls(
            iterations=fields.integer("iterations", 20, at_least=1, at_most=1000),
            damping=_damping(fields, 0.1),
            mask=fields.choice("mask", MaskChoice, MaskChoice.JOINT),
        )


def _damping(fields: Fields, default: float) -> float:
    return fields.number("damping", default, at_least=0, below=1000)


Refinement = Dsnot | Swaps
Update = Obs | LeastSquares | Admm

_REFINEMENTS: dict[RefinementMethod, type[Refinement]] = {kind.method: kind for kind in (Dsnot, Swaps)}
_UPDATES: dict[UpdateMethod, type[Update]] = {kind.method: kind for kind in (Obs, LeastSquares, Admm)}


def refinement(fields: Fields) -> Refinement | None:
    """Read the section `refinement` of a recipe; return None if the first mask is not refined."""
    kind = _REFINEMENTS.get(fields.choice("method", RefinementMethod))
    chosen = None if kind is None else kind.from_fields(fields)
    fields.reject_unread()
    return chosen


def update(fields: Fields) -> Update | None:
    """Read the section `update` of a recipe; return None if the kept weights are not updated."""
    kind = _UPDATES.get(fields.choice("method", UpdateMethod))
    chosen = None if kind is None else kind.from_fields(fields)
    fields.reject_unread()
    return chosen


def to_json(chosen: Refinement | Update | None) -> dict[str, Any]:
    """Return the section of a recipe that describes `chosen`, JSON-ready."""
    if chosen is None:
        return {"method": "none"}
    settings = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    named = {"method": chosen.method, **settings}
    return {name: str(value) if isinstance(value, StrEnum) else value for name, value in named.items()}
