"""Search for the decoder layers of any model: with an encoder as well, with experts, or with nested lists."""

import re
from typing import Any

from torch import nn

from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.meta import other_models, text_model

_BESIDE = re.compile("vision|visual|image|audio|video|embed")  # in the paths of multimodal models' encoders


def find_layers(model: Any) -> tuple[str, nn.ModuleList]:
    """Return path and list of the decoder layers: the text model's outermost module list with the most weights.

    ArchitectureUnsupported, naming the class, if there is none.
    """
    path, text = text_model(model)
    others = tuple(f"{other}." for other in other_models(model))
    found = [(name, part) for name, part in text.named_modules(prefix=path) if _is_list(part)]
    outer = [(name, part) for name, part in found if not any(name.startswith(f"{other}.") for other, _ in found)]
    outer = [(name, part) for name, part in outer if not _BESIDE.search(name) and not name.startswith(others)]
    if not outer:
        raise ArchitectureUnsupported(f"{type(model).__name__} has no list of decoder layers.")
    return max(outer, key=lambda entry: sum(p.numel() for p in entry[1].parameters()))


def reads_text(layer: nn.Module) -> bool:
    """Return whether text passes a decoder layer, as it does not where the only attention is to an image (Mllama)."""
    parts = {name.rpartition(".")[2] for name, _ in layer.named_modules()}
    return "cross_attn" not in parts or "self_attn" in parts


def _is_list(part: nn.Module) -> bool:
    return isinstance(part, nn.ModuleList) and next(part.parameters(), None) is not None
