"""What a config.json says, read with care."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.models.config import UnreadableConfig, max_sequence_length, needs_custom_code, parse_config, widths

names = st.text("ab", max_size=3)
configs = st.dictionaries(
    names, st.recursive(st.integers(), lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3))
)


@given(configs)
def test_a_config_without_auto_map_needs_no_code(config: dict[str, Any]) -> None:
    assert not needs_custom_code(config)


@given(st.lists(st.one_of(st.none(), names), max_size=30))
def test_an_auto_map_is_found_at_any_depth(path: list[str | None]) -> None:
    """None is a list on the way, a text the name of an object's member."""
    value: Any = {"auto_map": {}}
    for step in reversed(path):
        value = [1, value] if step is None else {"x": 1, step: value}
    assert needs_custom_code({"root": value})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 8}, 8),
        ({"n_positions": 9}, 9),
        ({"text_config": {"max_position_embeddings": 5}}, 5),
        ({"text_config": {"max_position_embeddings": 5}, "max_position_embeddings": 7}, 5),
        ({"text_config": {}, "max_position_embeddings": 7}, 7),
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": "many"}, None),
        ({"max_position_embeddings": True}, None),
        ({"max_position_embeddings": -1}, None),
        ({"text_config": [1]}, None),
        ({}, None),
    ],
)
def test_the_longest_input_is_that_of_the_text_model_if_any(config: dict[str, Any], expected: int | None) -> None:
    assert max_sequence_length(config) == expected


def test_widths_are_read_by_the_names_of_the_config() -> None:
    config = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "vocab_size": 1000}
    assert widths(config) == {"hidden_size": 64, "intermediate_size": 96}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": "' + b"x" * (1 << 20) + b'"}']
)
def test_an_invalid_config_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableConfig):
        parse_config(content)
