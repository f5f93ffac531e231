"""Refinement: which weights of the first mask are swapped."""

from typing import Annotated, Literal

from pydantic import Field

from service.contract.parts import Part


class NoRefinement(Part):
    """No refinement: the criterion's mask is used unchanged."""

    method: Literal["none"]


class DsnotRefinement(Part):
    """DSnoT: swaps pruned and kept weights of a row until its expected output error is small."""

    method: Literal["dsnot"] = "dsnot"
    max_cycles: int = Field(50, ge=1, le=10_000, description="maximum number of swaps per row")
    update_threshold: float = Field(
        0.1, ge=0, description="a row stops when |error| is below this, in the paper's per-sample sums"
    )
    variance_power: float = Field(1.0, ge=0, le=8, description="p in D / Var[x]^p; 0 ignores the variance")
    stop_on_sign_change: bool = Field(True, description="stop a row before its error would change sign")
    accept: Literal["if_better", "always"] = Field(
        "if_better", description="`if_better` keeps a row's new mask only if its true error fell"
    )
    targets: Literal["all", "attention"] = Field("all", description="which matrices are refined")
    variance: Literal["pooled", "within_sample"] = Field(
        "pooled", description="over all tokens, or the mean of the variances within samples"
    )

    def refines(self, matrix: str) -> bool:
        """Return whether the matrix with this name is among the targets."""
        return self.targets == "all" or "attn" in matrix or "attention" in matrix


class SwapsRefinement(Part):
    """Exact swaps of a pruned and a kept weight of a row, while they reduce its true output error by the Gram matrix."""

    method: Literal["swaps"]
    max_swaps: int = Field(200, ge=1, le=1_000_000, description="maximum number of swaps per row")


Refinement = Annotated[NoRefinement | DsnotRefinement | SwapsRefinement, Field(discriminator="method")]
