"""Results of pruning, per matrix and per block: one type for the engine, the database, the API and the client.

Errors are relative, ‖(W − W')X‖² / ‖WX‖² over the calibration tokens X; those of a block are means over its matrices.
"""

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_BEHIND_KIND: Final = re.compile(r"(\.weight|\.\d+|\[\d+\])+$")


def kind_of(name: str) -> str:
    """Return the kind of a matrix, such as `q_proj`, from the name of its tensor."""
    return _BEHIND_KIND.sub("", name).rpartition(".")[2]


class MatrixReport(BaseModel):
    """Pruning result of one matrix."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="of its tensor in the checkpoint", examples=["model.layers.0.self_attn.q_proj.weight"])
    shape: tuple[int, int] = Field(description="outputs, inputs")
    sparsity: float = Field(description="zeros / weights, as counted in the written file")
    error_start: float = Field(description="relative error of the first mask: ‖(W − W')X‖² / ‖WX‖²")
    error_mask: float = Field(description="error of the final mask, before kept weights are updated")
    error: float = Field(description="error of the result")
    swaps: int = Field(description="weights pruned in the final mask and not in the first")
    stops: dict[str, int] = Field(
        description="number of rows by the reason why their refinement stopped",
        examples=[{"threshold": 3, "no_pair": 0, "sign_change": 61}],
    )
    tokens: int = Field(description="tokens behind the input statistics")
    seconds: float = Field(description="time for its mask and weights")


class LayerView(MatrixReport):
    """Pruning result of one matrix as stored; early versions did not store all of it."""

    model_config = ConfigDict(from_attributes=True)

    position: int
    block: int
    error_mask: float | None = Field(None, description="error of the final mask")  # type: ignore[assignment]
    stops: dict[str, int] | None = Field(None, description="number of rows by stop reason")  # type: ignore[assignment]
    tokens: int | None = Field(None, description="tokens behind the input statistics")  # type: ignore[assignment]


class BlockView(BaseModel):
    """Pruning result of one block."""

    block: int
    matrices: int
    sparsity: float = Field(description="zeros / weights, 0 to 1")
    error_start: float = Field(description="error of the first mask")
    error_mask: float | None = Field(None, description="error of the final mask, before kept weights are updated")
    error: float = Field(description="error of the result")
    swaps: int
