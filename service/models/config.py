"""A model's config.json, read with care: what it says of the model's size, and whether it wants code of its own."""

import json
from typing import Any, Final

MAX_CONFIG_BYTES: Final = 1 << 20
_LENGTHS: Final = ("max_position_embeddings", "n_positions", "max_sequence_length")
_WIDTHS: Final = ("hidden_size", "intermediate_size", "n_embd", "d_model", "ffn_dim", "ffn_hidden_size")
_INNER: Final = ("text_config", "llm_config", "language_config")


class UnreadableConfig(ValueError):
    """The config is no JSON object of a sane size."""


def parse_config(content: bytes) -> dict[str, Any]:
    """Raises UnreadableConfig."""
    if len(content) > MAX_CONFIG_BYTES:
        raise UnreadableConfig("config.json is larger than 1 MiB")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        raise UnreadableConfig("config.json is not JSON") from None
    if not isinstance(config, dict):
        raise UnreadableConfig("config.json is not a JSON object")
    return config


def wants_code(config: dict[str, Any]) -> bool:
    """Does it name classes of the model's own, anywhere in it?"""
    waiting: list[Any] = [config]
    while waiting:  # a loop, for nesting has no limit here
        value = waiting.pop()
        if isinstance(value, dict):
            if "auto_map" in value:
                return True
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def max_sequence_length(config: dict[str, Any]) -> int | None:
    """The longest input, if the config says so."""
    return next(iter(sizes_of(config, _LENGTHS).values()), None)


def widths(config: dict[str, Any]) -> dict[str, int]:
    """How many inputs the matrices have, by the names that the config gives."""
    return sizes_of(config, _WIDTHS)


def sizes_of(config: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    """Those of the text model where the model is a composed one."""
    text: dict[str, Any] = next((config[name] for name in _INNER if isinstance(config.get(name), dict)), {})
    known = {name: text.get(name, config.get(name)) for name in names}
    return {name: size for name, size in known.items() if isinstance(size, int) and not isinstance(size, bool) and size > 0}


def texts(value: Any) -> list[str]:
    """The texts in a list; none of anything else."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
