"""Search for the decoder layers of any model: with an encoder as well, with experts, or with nested lists."""

import re
from typing import Any

from torch import nn

from worker.engine.errors import ArchitectureUnsupported

_BESIDE = re.compile("vision|visual|image|audio|video|embed")  # in the paths of multimodal models' encoders
# Families that cannot be run block by block, each with the reason.
EXCEPTIONS: dict[str, str] = {
    "BltForCausalLM": "sends bytes through several stacks of layers of different lengths, and not through one.",
    "Gemma4AssistantForCausalLM": "only drafts for another model, whose keys and values it reads.",
    "Gemma4UnifiedAssistantForCausalLM": "only drafts for another model, whose keys and values it reads.",
    "HrmTextForCausalLM": "runs two stacks of layers in turns, each several times: no block comes before another.",
    "Inkling2ForCausalLM": "collects the states of earlier layers and hands them to later ones.",
    "ReformerModelWithLMHead": "has reversible layers, which hand on two streams of hidden states.",
    "XLMWithLMHeadModel": "keeps attentions, feed-forwards and norms in lists of their own and has no layers.",
    "XLNetLMHeadModel": "keeps its attention weights with three axes (width, heads, width of a head) and has two streams.",
}


def find_layers(model: Any) -> tuple[str, nn.ModuleList]:
    """Return path and list of the decoder layers: the decoder's outermost module list with the most weights.

    ArchitectureUnsupported, naming the class, if there is none or the family is in `EXCEPTIONS`.
    """
    kind = type(model).__name__
    if kind in EXCEPTIONS:
        raise ArchitectureUnsupported(f"{kind} {EXCEPTIONS[kind]}")
    found = [(name, part) for name, part in model.named_modules() if _is_list(part)]
    outer = [(name, part) for name, part in found if not any(name.startswith(f"{other}.") for other, _ in found)]
    outer = [(name, part) for name, part in outer if not _BESIDE.search(name)]
    if not outer:
        raise ArchitectureUnsupported(f"{kind} has no list of decoder layers.")
    return max(outer, key=lambda entry: sum(p.numel() for p in entry[1].parameters()))


def _is_list(part: nn.Module) -> bool:
    return isinstance(part, nn.ModuleList) and next(part.parameters(), None) is not None
