"""Writer of version 1 of packed files, from its specification, for the tests that such files are still read."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.support.shard_files import WIDTHS, Stored


def pack_v1(source: Path, tensors: Mapping[str, Stored], target: Path) -> Path:
    """Pack the safetensors file `source`, which has these tensors in this order."""
    content = source.read_bytes()
    head = content[: 8 + int.from_bytes(content[:8], "little")]
    body, table = bytearray(64), []

    def section(part: bytes) -> list[int]:
        start = len(body)
        body.extend(part + bytes(-len(part) % 64))
        return [start, start + len(part)]

    where = {"section": section(head), "sha256": hashlib.sha256(head).hexdigest()}
    for name, (dtype, shape, data) in tensors.items():
        entry = {"name": name, "dtype": dtype, "shape": list(shape), "sha256": hashlib.sha256(data).hexdigest()}
        elements = np.frombuffer(data, dtype=f"<u{WIDTHS[dtype]}")
        values, bits = elements[elements != 0].tobytes(), np.packbits(elements != 0, bitorder="little").tobytes()
        if len(values) + len(bits) < len(data):
            table.append(entry | {"encoding": "sparse", "values": section(values), "bits": section(bits)})
        else:
            table.append(entry | {"encoding": "plain", "data": section(data)})
    file = {"name": source.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    header = json.dumps({"kind": "packed", "file": file, "head": where, "base": None, "tensors": table}).encode()
    prelude = struct.pack("<8sIIQQ32s", b"DSNOTPAK", 1, 0, len(body), len(header), hashlib.sha256(header).digest())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(prelude + body[64:] + header)
    return target
