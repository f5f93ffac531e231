"""Rules against checkpoints by config alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.auto import modeling_auto as auto

from service.contract.checkpoints import reason_against_code, reason_against_config, reason_against_layers
from service.contract.model_types import MODEL_TYPES

names = st.text("ab", max_size=3)


@given(st.lists(st.one_of(st.none(), names), max_size=30))
def test_an_auto_map_of_an_unknown_type_is_found_at_any_depth(path: list[str | None]) -> None:
    """None is a list on the way, a text the name of an object's member."""
    value: Any = {"auto_map": {}}
    for step in reversed(path):
        value = [1, value] if step is None else {"x": 1, step: value}
    assert reason_against_code({"root": value}) is not None
    assert reason_against_code({"root": value, "model_type": "llama"}) is None


def test_the_known_types_are_those_of_transformers() -> None:
    """After an upgrade: write the sorted names into service/contract/model_types.py."""
    mappings = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SEQ_TO_SEQ_CAUSAL_LM")
    known = {name for kind in mappings for name in getattr(auto, f"MODEL_FOR_{kind}_MAPPING_NAMES")}
    assert known == MODEL_TYPES


def test_an_unknown_type_is_refused_by_name() -> None:
    assert "unheard-of" in str(reason_against_config({"model_type": "unheard-of"}))
    assert reason_against_config({"model_type": "llama"}) is None


@pytest.mark.parametrize(("count", "present", "first"), [(3, [0, 2], 1), (10**9, range(3), 3), (2, [1, 2], 0)])
def test_missing_layers_are_counted(count: int, present: list[int], first: int) -> None:
    assert f"first of which is layer {first};" in str(reason_against_layers(count, present))


def test_layers_beyond_the_count_are_no_fault() -> None:
    assert reason_against_layers(2, range(3)) is None
