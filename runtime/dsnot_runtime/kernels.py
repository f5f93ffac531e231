"""Products and conversions of sparse matrices."""

from dsnot_runtime.portable import PADDING, matmul, pack, quantize, unpack

__all__ = ["PADDING", "matmul", "pack", "quantize", "unpack", "variant"]


def variant() -> str:
    """Return the name of the kernels in use."""
    return "torch"
