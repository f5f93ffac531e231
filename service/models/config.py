"""Defensive parsing of a model's config.json: sizes."""

from typing import Any, Final

from service.contract import bounded_json

MAX_CONFIG_BYTES: Final = 1 << 20
_LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len", "max_sequence_length")
_PADDING_FIRST: Final = {
    **dict.fromkeys(
        ("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"), 1
    ),
    "prophetnet": 0,
}
"""Model types whose positions begin behind the padding token's id → its default."""
_INNER: Final = ("text_config", "llm_config", "language_config")


class UnreadableConfig(ValueError):
    """Config that is too large or not a JSON object."""


def parse_config(content: bytes) -> dict[str, Any]:
    """Parse the content of config.json. Raises UnreadableConfig."""
    if len(content) > MAX_CONFIG_BYTES:
        raise UnreadableConfig("config.json is larger than 1 MiB")
    try:
        config = bounded_json.loads(content)
    except bounded_json.InvalidJson as error:
        raise UnreadableConfig(f"config.json {error}") from None
    if not isinstance(config, dict):
        raise UnreadableConfig("config.json is not a JSON object")
    return config


def max_sequence_length(config: dict[str, Any]) -> int | None:
    """Return the maximum sequence length in tokens, if the config states it."""
    length = next(iter(sizes_of(config, _LENGTHS).values()), None)
    kind, padding = config.get("model_type"), config.get("pad_token_id")
    if length is None or not isinstance(kind, str) or kind not in _PADDING_FIRST:
        return length
    return max(length - 1 - (padding if type(padding) is int else _PADDING_FIRST[kind]), 0)


def layer_count(config: dict[str, Any]) -> int | None:
    """Return the number of decoder layers, if the config states it."""
    return next(iter(sizes_of(config, _LAYERS).values()), None)


def sizes_of(config: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    """Return the positive integers under these keys; in a multimodal config, those of the text model."""
    text: dict[str, Any] = next((config[name] for name in _INNER if isinstance(config.get(name), dict)), {})
    known = {name: text.get(name, config.get(name)) for name in names}
    return {name: size for name, size in known.items() if type(size) is int and 0 < size < 1 << 63}


def texts(value: Any) -> list[str]:
    """Return the strings in a list; an empty list for any other value."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
