"""Sparsity pattern: which weights of a matrix may be zero.

Each kind has `pruned_share`, the share of weights that it prunes; `group`, the number of consecutive inputs within which
weights are selected and swapped, or None for a whole row; `fits`, whether a matrix can have it; `at_sparsity`, the pattern
of a block that an allocation gives another sparsity; and its name as text.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.contract.parts import FieldError, Part


class Unstructured(Part):
    """Unstructured sparsity: zeros may be anywhere in a row."""

    type: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(0.5, ge=0, lt=1, description="share of each row's weights that becomes zero")

    @property
    def pruned_share(self) -> float:
        """The share of weights that is pruned."""
        return self.sparsity

    @property
    def group(self) -> None:
        """A whole row."""

    def fits(self, _inputs: int) -> bool:
        """Return whether a matrix with this number of inputs can have the pattern."""
        return True

    def at_sparsity(self, sparsity: float) -> Self:
        """Return the pattern with another sparsity."""
        return self.model_copy(update={"sparsity": sparsity})

    def __str__(self) -> str:
        return f"{self.sparsity * 100:g} %"


class NofM(Part):
    """n:m sparsity: at most n of every m consecutive inputs are non-zero, as runtimes with sparse kernels require."""

    type: Literal["n:m"]
    n: int = Field(ge=1, description="at most n of every m consecutive inputs are non-zero")
    m: int = Field(ge=2, le=1024, description="inputs in a group; a matrix whose number of inputs it does not divide stays dense")

    @model_validator(mode="after")
    def _some_are_pruned(self) -> Self:
        if self.n >= self.m:
            raise FieldError("/n", f"must be smaller than m: {self.n}:{self.m} prunes nothing")
        return self

    @property
    def pruned_share(self) -> float:
        """The share of weights that is pruned."""
        return 1 - self.n / self.m

    @property
    def group(self) -> int:
        """The number of inputs in a group, m."""
        return self.m

    def fits(self, inputs: int) -> bool:
        """Return whether a matrix with this number of inputs can have the pattern."""
        return inputs % self.m == 0

    def at_sparsity(self, _sparsity: float) -> Self:
        """Return the pattern itself, which fixes the sparsity of every group."""
        return self

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


Pattern = Annotated[Unstructured | NofM, Field(discriminator="type")]


def stay_dense(misfits: Sequence[tuple[str, tuple[int, int]]], pattern: Pattern) -> list[str]:
    """Return a warning on matrices (name, shape) that the pattern does not fit; none if there are none."""
    if not misfits:
        return []
    name, (_, inputs) = misfits[0]
    some = "1 matrix stays" if len(misfits) == 1 else f"{len(misfits)} matrices stay"
    return [f"{some} dense, because groups of {pattern} do not divide their number of inputs: {name} has {inputs}."]
