"""Update: what the kept weights become."""

from typing import Annotated, Literal

from pydantic import Field

from service.contract.parts import Part

_Damping = Annotated[
    float, Field(ge=0, lt=1000, description="added to the Gram matrix's diagonal, as a share of the diagonal's mean")
]


class NoUpdate(Part):
    """No update: the kept weights do not change."""

    method: Literal["none"] = "none"


class ObsUpdate(Part):
    """SparseGPT's sequential update: the weights to the right of each pruned weight compensate for its error."""

    method: Literal["obs"]
    damping: _Damping = 0.01


class LeastSquaresUpdate(Part):
    """Least squares: the kept weights of every row minimise its output error under its mask."""

    method: Literal["least_squares"]
    damping: _Damping = 0.01


class AdmmUpdate(Part):
    """ADMM: approximates the kept weights with the least output error, and finds the mask jointly unless given one."""

    method: Literal["admm"]
    iterations: int = Field(20, ge=1, le=1000, description="ADMM iterations per matrix")
    damping: _Damping = 0.1
    mask: Literal["joint", "given"] = Field(
        "joint", description="optimise the mask jointly with the weights, or keep the given one"
    )


Update = Annotated[NoUpdate | ObsUpdate | LeastSquaresUpdate | AdmmUpdate, Field(discriminator="method")]
