"""What a config.json says, read with care."""

from typing import Any

import pytest

from service.models.config import UnreadableConfig, max_sequence_length, parse_config


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
        ({"model_type": "whisper", "max_target_positions": 7}, 7),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 64, "pad_token_id": 0}, 63),
        ({}, None),
    ],
)
def test_the_longest_input_is_that_of_the_text_model_if_any(config: dict[str, Any], expected: int | None) -> None:
    assert max_sequence_length(config) == expected


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": "' + b"x" * (1 << 20) + b'"}']
)
def test_an_invalid_config_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableConfig):
        parse_config(content)
