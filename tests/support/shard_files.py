"""Safetensors files of any bits, written by hand and by the format's own library."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2, "F8_E4M3": 1, "U8": 1, "BOOL": 1}
ZERO, NEGATIVE_ZERO, NAN, ONE = 0x0000, 0x8000, 0x7FC1, 0x3F80
"""Of bfloat16, as bits."""

Stored = tuple[str, tuple[int, ...], bytes]
"""dtype, shape, bytes"""


def write(path: Path, tensors: Mapping[str, Stored], *, padding: int = 0) -> Path:
    """A file with these tensors, in this order, its head filled up with blanks as writers may do."""
    head, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, content) in tensors.items():
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(content)]}  # type: ignore[dict-item]
        end += len(content)
    text = json.dumps(head).encode() + b" " * padding
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(content for _, _, content in tensors.values()))
    return path


def bfloat16(bits: list[int], shape: tuple[int, ...] | None = None) -> Stored:
    return "BF16", shape or (len(bits),), np.array(bits, dtype="<u2").tobytes()


def random_bits(dtype: str, shape: tuple[int, ...], *, zeros: float, seed: int = 0) -> Stored:
    """Any bits at all, NaNs and negative zeros among them; each is zero with the probability `zeros`."""
    generator = np.random.default_rng(seed)
    width, count = WIDTHS[dtype], int(np.prod(shape))
    content = generator.integers(0, 256, count * width, dtype=np.uint8).reshape(count, width)
    content[generator.random(count) < zeros] = 0
    return dtype, shape, content.tobytes()


def pruned(tensor: Stored, *, share: float, seed: int = 0) -> Stored:
    """The tensor with a share of its elements zero, the others as they are."""
    dtype, shape, content = tensor
    elements = np.frombuffer(content, dtype=np.uint8).reshape(-1, WIDTHS[dtype]).copy()
    elements[np.random.default_rng(seed).random(len(elements)) < share] = 0
    return dtype, shape, elements.tobytes()
