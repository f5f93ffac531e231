"""Search for the decoder layers of any model: with an encoder as well, with experts, or with nested lists."""

import re
from typing import Any

from torch import nn

from service.contract.checkpoints import UNSUPPORTED
from worker.engine.errors import ArchitectureUnsupported

_BESIDE = re.compile("vision|visual|image|audio|video|embed")  # in the paths of multimodal models' encoders


def find_layers(model: Any) -> tuple[str, nn.ModuleList]:
    """Return path and list of the decoder layers: the decoder's outermost module list with the most weights.

    ArchitectureUnsupported, naming the class, if there is none or the family is in `UNSUPPORTED`.
    """
    kind = type(model).__name__
    if kind in UNSUPPORTED:
        raise ArchitectureUnsupported(f"{kind} {UNSUPPORTED[kind]}")
    found = [(name, part) for name, part in model.named_modules() if _is_list(part)]
    outer = [(name, part) for name, part in found if not any(name.startswith(f"{other}.") for other, _ in found)]
    outer = [(name, part) for name, part in outer if not _BESIDE.search(name)]
    if not outer:
        raise ArchitectureUnsupported(f"{kind} has no list of decoder layers.")
    return max(outer, key=lambda entry: sum(p.numel() for p in entry[1].parameters()))


def _is_list(part: nn.Module) -> bool:
    return isinstance(part, nn.ModuleList) and next(part.parameters(), None) is not None
