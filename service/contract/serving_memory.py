"""Memory of a pruned model's weights in use: dense, as every runtime holds them, or packed by `dsnot_runtime` on a CPU."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

_BIT: Final = 1 / 8
"""Bytes of a bit per weight."""
LEAST_ZEROS: Final = 0.3
"""Share of zeros from which the runtime packs a matrix."""


class ServingMemory(BaseModel):
    """Bytes of all weights in memory, estimated from sparsity and type."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [{"dense": 1600, "packed": 900, "packed_int8": 500}]})

    dense: int = Field(ge=0, description="zeros included, as common runtimes hold them")
    packed: int = Field(ge=0, description="pruned matrices as bits and kept values, by dsnot_runtime on CPUs")
    packed_int8: int = Field(ge=0, description="the same with the kept values in int8")


def serving_memory(*, parameters: int, prunable: int, bytes_per_parameter: int, zeros: float) -> ServingMemory:
    """Estimate the bytes of `parameters`, of which a share `zeros` of the `prunable` ones is zero."""
    others = (parameters - prunable) * bytes_per_parameter
    if zeros < LEAST_ZEROS:
        return ServingMemory(**dict.fromkeys(("dense", "packed", "packed_int8"), parameters * bytes_per_parameter))
    return ServingMemory(
        dense=parameters * bytes_per_parameter,
        packed=others + round(prunable * (bytes_per_parameter * (1 - zeros) + _BIT)),
        packed_int8=others + round(prunable * (1 - zeros + _BIT)),
    )
