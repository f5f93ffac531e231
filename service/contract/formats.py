"""In which forms the pruned weights can be published."""

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Format = Literal["dense", "packed", "mask"]

FORMATS: Final[dict[Format, str]] = {
    "dense": "Safetensors with their zeros, as the source has them: they load everywhere, and are as large as the source.",
    "packed": "Without the zeros, losslessly: a bit for every weight, and the weights that are not zero; "
    "`dsnot artifacts unpack` gives back the dense files.",
    "mask": "The bits alone, for licences that forbid passing the weights on: `dsnot artifacts apply-mask` makes the dense files "
    "of them and the source. Only where the kept weights stay as they are, with the update `none`.",
}
"""What each is, a sentence or two."""
assert tuple(FORMATS) == get_args(Format)


class WeightSizes(BaseModel):
    """Bytes of the pruned weights in every form, measured; `packed` also where it was not asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dense: int = Field(ge=0)
    packed: int = Field(ge=0)
    mask: int | None = Field(None, ge=0, description="null where it was not asked for")
    zstd: int = Field(ge=0, description="of the dense files, compressed by zstd at level 1")
    zstd_share_measured: float = Field(1.0, gt=0, le=1, description="the share of the bytes on which `zstd` was measured")
