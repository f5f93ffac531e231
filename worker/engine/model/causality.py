"""Configs of models whose tokens see later tokens, which pruning and perplexity as a causal language model would misjudge."""

from collections.abc import Mapping
from typing import Any

ENCODERS = frozenset(
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
_TEXT = ("text_config", "llm_config", "language_config")


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
