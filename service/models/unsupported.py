"""Model families that the engine refuses, by the architecture in their config; a test keeps them equal to the engine's list."""

from collections.abc import Mapping
from typing import Any, Final

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


ENCODERS: Final = frozenset(
    {
        "bert",
        "bert-generation",
        "big_bird",
        "camembert",
        "data2vec-text",
        "electra",
        "ernie",
        "megatron-bert",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Model types that are encoders unless the config has `is_decoder: true`."""
_TEXT: Final = ("text_config", "llm_config", "language_config")


def reason_against_attention(config: Mapping[str, Any]) -> str | None:
    """Return why a config describes no causal language model; None if no reason is known."""
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in ENCODERS and config.get("is_decoder") is not True:
        return f"A {kind} without is_decoder in config.json is an encoder, not a causal language model; take a decoder model."
    for part in (config, *(config[name] for name in _TEXT if isinstance(config.get(name), dict))):
        for key, value in (("is_causal", False), ("use_bidirectional_attention", True), ("use_bidirectional_attention", "all")):
            if part.get(key) == value and type(part.get(key)) is type(value):
                return f"config.json has {key}: tokens see later ones, so it is no causal language model; take a causal model."
    return None


def reason_against(model: ModelOutline) -> str | None:
    """Return why the engine will refuse the model; None if no reason is known."""
    if model.architecture in UNSUPPORTED:
        return f"{model.architecture} {UNSUPPORTED[model.architecture]}"
    if not model.blocks:
        return "The model has no list of decoder layers."
    if not model.prunable_parameters:
        return "There is no matrix in the model's decoder layers that could be pruned."
    return None
