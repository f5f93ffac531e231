"""How many tokens a job evaluates, as far as that can be told from its spec."""

from typing import Any

import pytest

from service.contract.samples import EQUIVALENT_TOKENS
from service.contract.spec import JobSpec
from service.planning.texts import evaluated_tokens, text_tokens

UPLOAD = "ds-0123456789abcdef"


def spec(**evaluation: Any) -> JobSpec:
    bare = {"sequence_length": 1024, "baseline": False, "samples": None}
    return JobSpec.model_validate({"model": {"id": "m"}, "evaluation": bare | evaluation})


@pytest.mark.parametrize(
    ("evaluation", "windows"),
    [
        ({"perplexity": ["c4"]}, 256),  # there are more, and the field takes these
        ({"perplexity": ["c4"], "max_windows": 300}, 300),
        ({"perplexity": ["c4"], "max_windows": 10}, 10),
        ({"perplexity": ["wikitext2"]}, int(1_260_000 / 4.2) // 1024),
        ({"perplexity": ["wikitext2", "c4"], "max_windows": 7}, 14),
        ({"perplexity": [UPLOAD]}, int(100_000 / 4.2) // 1024),
        ({"perplexity": []}, 0),
    ],
)
def test_windows_match_those_of_a_worker(evaluation: dict[str, Any], windows: int) -> None:
    uploaded = {UPLOAD: 1_000_000}
    assert evaluated_tokens(spec(**evaluation), uploaded, 1) == windows * 1024
    assert evaluated_tokens(spec(**evaluation | {"baseline": True}), uploaded, 1) == 2 * windows * 1024


def test_the_longest_text_is_read_completely() -> None:
    tokens = text_tokens(spec(perplexity=["c4", "wiki-sample"], max_windows=2), {})
    assert tokens.evaluated == 2 * 1024
    assert tokens.longest == int(17_500_000 / 4.2)  # c4:train, for calibration


def test_generated_tokens_count_for_both_models_and_only_if_they_are_generated() -> None:
    samples = {"prompts": ["a", "b", "c"], "max_new_tokens": 10, "max_weight_bytes": 1000}
    asked = spec(perplexity=[], samples=samples)
    assert evaluated_tokens(asked, {}, 1000) == 3 * 10 * EQUIVALENT_TOKENS
    assert evaluated_tokens(asked, {}, 1001) == 0
    assert evaluated_tokens(spec(perplexity=[], samples=samples, baseline=True), {}, 1) == 2 * 3 * 10 * EQUIVALENT_TOKENS
