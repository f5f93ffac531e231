"""Section of the model card on formats: which are included, the size of each, and how to restore the dense files."""

from collections.abc import Sequence
from typing import Final

from service.contract.formats import Format, WeightSizes

_WHAT: Final[dict[Format, str]] = {
    "dense": "dense (`.safetensors`, zeros included)",
    "packed": "packed (`.packed`, without the zeros)",
    "mask": "mask (`.mask`, only where the zeros are)",
}

_HOW: Final[dict[Format, str]] = {
    "packed": "`dsnot artifacts unpack FOLDER` restores the safetensors files from the packed ones, byte for byte.",
    "mask": "`dsnot artifacts apply-mask FOLDER --base MODEL --to DIR` restores them from the original model and the mask, "
    "and rejects any other model.",
}
_FIRST: Final = "This folder has no safetensors files and cannot be loaded before that (`pip install dsnot` for the command)."


def formats_section(formats: Sequence[Format], sizes: WeightSizes) -> str:
    """Return the section as Markdown, with a table of measured sizes."""
    rows = {what: getattr(sizes, name) for name, what in _WHAT.items()} | {_compressed(sizes): sizes.zstd}
    here = {_WHAT[name] for name in formats}
    lines = [f"| {what} | {_row(size, sizes.dense)} | {'yes' if what in here else 'no'} |" for what, size in rows.items()]
    table = "\n".join(["| weights | bytes | share | here |", "|---|---|---|---|", *(line for line in lines if line)])
    how = [_HOW[name] for name in formats if name in _HOW] + ([] if "dense" in formats else [_FIRST])
    return "\n\n".join(["## Formats and sizes", table, *([" ".join(how)] if how else [])])


def _row(size: int | None, dense: int) -> str:
    return "not made | " if size is None else f"{size:,} | {size / dense:.1%}" if dense else f"{size:,} | "


def _compressed(sizes: WeightSizes) -> str:
    share = "" if sizes.zstd_share_measured == 1 else f", measured on {sizes.zstd_share_measured:.1%} of them"
    return f"dense, compressed by zstd at level 1{share}"
