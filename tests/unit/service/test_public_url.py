"""DSNOT_PUBLIC_URL: the address to which messages link."""

import pytest
from pydantic import ValidationError

from service.settings import Settings

NEEDED = {
    "DATABASE_URL": "postgresql://u:p@host/name", "BROKER_URL": "redis://host/0", "ARTIFACT_URL": "file:///tmp/artifacts",
    "MODEL_ROOT": "/models", "CACHE_DIR": "/cache",
}  # fmt: skip


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(f"DSNOT_{name}", value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("https://host/tools/", "https://host/tools"), ("http://127.0.0.1:8321", "http://127.0.0.1:8321"), ("", None)],
)
def test_it_is_kept_without_a_trailing_slash(monkeypatch: pytest.MonkeyPatch, given: str, kept: str | None) -> None:
    monkeypatch.setenv("DSNOT_PUBLIC_URL", given)
    assert Settings().public_url == kept


@pytest.mark.parametrize("given", ["host", "ftp://host", "https://host/?a", "https://user:pw@host", "https://host/a|b"])
def test_an_address_that_is_none_is_refused_with_an_example(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("DSNOT_PUBLIC_URL", given)
    with pytest.raises(ValidationError, match="such as https://host/tools/dsnot"):
        Settings()
