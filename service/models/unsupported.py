"""Model families that the engine refuses, by the architecture in their config; a test keeps them equal to the engine's list."""

from typing import Final

from service.models.outline import ModelOutline

UNSUPPORTED: Final[dict[str, str]] = {
    "BltForCausalLM": "sends bytes through several stacks of layers of different lengths, and not through one.",
    "Gemma4AssistantForCausalLM": "only drafts for another model, whose keys and values it reads.",
    "Gemma4UnifiedAssistantForCausalLM": "only drafts for another model, whose keys and values it reads.",
    "HrmTextForCausalLM": "runs two stacks of layers in turns, each several times: no block comes before another.",
    "Inkling2ForCausalLM": "collects the states of earlier layers and hands them to later ones.",
    "ReformerModelWithLMHead": "has reversible layers, which hand on two streams of hidden states.",
    "XLMWithLMHeadModel": "keeps attentions, feed-forwards and norms in lists of their own and has no layers.",
    "XLNetLMHeadModel": "keeps its attention weights with three axes (width, heads, width of a head) and has two streams.",
}


def reason_against(model: ModelOutline) -> str | None:
    """Return why the engine will refuse the model; None if no reason is known."""
    if model.architecture in UNSUPPORTED:
        return f"{model.architecture} {UNSUPPORTED[model.architecture]}"
    if not model.blocks:
        return "The model has no list of decoder layers."
    if not model.prunable_parameters:
        return "There is no matrix in the model's decoder layers that could be pruned."
    return None
