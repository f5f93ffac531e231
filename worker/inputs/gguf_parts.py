"""Split GGUF files (`name-00001-of-00003.gguf`, as llama.cpp's gguf-split writes them): their parts, and one file of all."""

import re
from collections.abc import Sequence
from pathlib import Path

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def parts_of(path: Path) -> list[Path]:
    """Return all parts of the file that a part belongs to, in order, or the file itself if it is not split."""
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    count = found["count"]
    return [path.with_name(f"{found['stem']}-{number:05d}-of-{count}.gguf") for number in range(1, int(count) + 1)]


def join(parts: Sequence[Path], target: Path) -> None:
    """Write one file with the metadata of the first part and the tensors of all, unchanged."""
    import gguf

    readers = [gguf.GGUFReader(part) for part in parts]
    fields = readers[0].fields
    writer = gguf.GGUFWriter(target, fields["general.architecture"].contents())
    for name, field in fields.items():
        if name != "general.architecture" and not name.startswith(("GGUF.", "split.")):
            kind = field.types[0]
            of_items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=of_items)
    tensors = [tensor for reader in readers for tensor in reader.tensors]
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.data.shape, tensor.data.dtype, tensor.data.nbytes, tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()
