"""Formats in which the pruned weights can be published."""

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["dense", "packed", "mask"]

FORMATS: Final[dict[Format, str]] = {
    "dense": "Safetensors with explicit zeros: they load everywhere and are as large as the source.",
    "packed": "Lossless compression: a bit mask and the non-zero weights, their exponents by zstd; "
    "`dsnot artifacts unpack` restores the dense files.",
    "mask": "The bit mask alone, for licences that forbid redistributing weights: `dsnot artifacts apply-mask` makes the dense "
    "files from it and the source. Requires the update `none`, because the kept weights must not change.",
}
"""Summary of each format, a sentence or two."""
assert tuple(FORMATS) == get_args(Format)


class WeightSizes(BaseModel):
    """Bytes of the pruned weights in every format, measured; `packed` even if it was not requested."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dense: int = Field(ge=0)
    packed: int = Field(ge=0)
    mask: int | None = Field(None, ge=0, description="null if not requested")
    zstd: int = Field(ge=0, description="the dense files, compressed by zstd at level 1")
    zstd_share_measured: float = Field(
        1.0, gt=0, le=1, description="share of the bytes on which `zstd` was measured, and `packed` if it was not requested"
    )
