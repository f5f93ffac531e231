"""Sentences about malformed settings, in words of ours."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, problems_of

SERVERS = {
    "database_url": "postgresql://u@h/d",
    "broker_url": "redis://h",
    "artifact_url": "file:///artifacts",
    "model_root": "/models",
    "cache_dir": "/cache",
}


def problems(**values: object) -> list[str]:
    try:
        Settings(**SERVERS | values)  # type: ignore[arg-type]
    except ValidationError as error:
        return problems_of(error)
    return []


@pytest.mark.parametrize("value", ["abc", "-7", "[", "1e999", "nan", ""])
def test_no_malformed_setting_is_refused_in_the_librarys_words(value: str, tmp_path: Path) -> None:
    given = {name: value for name in Settings.model_fields if name not in SERVERS} | {"signing_key": tmp_path}
    found = problems(**given)
    assert len(found) > 20 or not value
    assert [each for each in found if "Input should" in each or "pars" in each] == []


def test_a_sentence_names_the_variable_and_what_is_valid() -> None:
    assert problems(sweep_seconds="0") == ["DSNOT_SWEEP_SECONDS: must be greater than 0"]
    assert problems(max_webhooks="many") == ["DSNOT_MAX_WEBHOOKS: must be a whole number"]
