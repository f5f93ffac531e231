"""Defensive parsing of a model's config.json: sizes, and whether the model needs custom code."""

from typing import Any, Final

from service.contract import bounded_json

MAX_CONFIG_BYTES: Final = 1 << 20
_LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_sequence_length")
_WIDTHS: Final = ("hidden_size", "intermediate_size", "n_embd", "d_model", "ffn_dim", "ffn_hidden_size")
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


def needs_custom_code(config: dict[str, Any]) -> bool:
    """Check whether the config has an `auto_map`, that is custom model classes, at any depth."""
    return any(key == "auto_map" for key, _ in bounded_json.walk(config))


def max_sequence_length(config: dict[str, Any]) -> int | None:
    """Return the maximum sequence length in tokens, if the config states it."""
    return next(iter(sizes_of(config, _LENGTHS).values()), None)


def widths(config: dict[str, Any]) -> dict[str, int]:
    """Return the input widths of the matrices by config key."""
    return sizes_of(config, _WIDTHS)


def sizes_of(config: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    """Return the positive integers under these keys; in a multimodal config, those of the text model."""
    text: dict[str, Any] = next((config[name] for name in _INNER if isinstance(config.get(name), dict)), {})
    known = {name: text.get(name, config.get(name)) for name in names}
    return {name: size for name, size in known.items() if type(size) is int and 0 < size < 1 << 63}


def texts(value: Any) -> list[str]:
    """Return the strings in a list; an empty list for any other value."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
