"""Signs of a quantised checkpoint: keys of its config, files of quantisers, names and data types of its tensors."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_KEYS: Final = ("quantization_config", "quantization", "compression_config")
_FILES: Final = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
_NAMES: Final = re.compile(r"\.(qweight|weight_packed|weight_scale(_inv)?|SCB|weight\.absmax)$|_proj_(blocks|scales)$")
_WEIGHT: Final = re.compile(r"(\.weight|_proj)$")
_PLAIN: Final = ("F64", "F32", "F16", "BF16")


def reason_against_quantised(
    config: Mapping[str, Any], files: Iterable[str], tensors: Iterable[tuple[str, str, tuple[int, ...]]]
) -> str | None:
    """Return why a checkpoint counts as quantised, given name, data type and shape of its tensors; None if it does not."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]  # also of a text_config
    signs = [f"config.json has {key}" for key in _KEYS for part in parts if part.get(key)]
    signs += [f"{name} is there" for name in _FILES if name in files]
    for name, dtype, shape in tensors:
        if _NAMES.search(name) or (_WEIGHT.search(name) and len(shape) > 1 and dtype not in _PLAIN):
            signs.append(f"{name} is stored as {dtype}")
    if not signs:
        return None
    return f"The checkpoint is quantised ({signs[0]}); take the original in bfloat16, float16 or float32."
