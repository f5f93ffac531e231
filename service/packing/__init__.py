"""Sparse weight files: packed files and masks, written by workers and read by the users of an artifact.

`unpack(folder)` and `apply_mask(folder, base, to)` restore the safetensors files of the dense artifact, byte for byte;
`verify(folder)` checks an artifact against its published checksums. docs/reference/packed-format.md specifies the files.
"""

from service.packing.container import MASK_SUFFIX, PACKED_SUFFIX, Progress
from service.packing.errors import (
    Altered,
    KeptWeightChanged,
    Missing,
    NewerVersion,
    NotAContainer,
    NothingToDo,
    PackingError,
    Truncated,
    WrongBase,
)
from service.packing.folders import apply_mask, unpack
from service.packing.header import Origin
from service.packing.masking import make_mask
from service.packing.packing import pack, packed_bytes
from service.packing.verifying import Verified, verify

__all__ = [
    "MASK_SUFFIX",
    "PACKED_SUFFIX",
    "Altered",
    "KeptWeightChanged",
    "Missing",
    "NewerVersion",
    "NotAContainer",
    "NothingToDo",
    "Origin",
    "PackingError",
    "Progress",
    "Truncated",
    "Verified",
    "WrongBase",
    "apply_mask",
    "make_mask",
    "pack",
    "packed_bytes",
    "unpack",
    "verify",
]
