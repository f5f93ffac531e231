"""What several tests of the service look at."""

from pathlib import Path
from typing import Any

import pytest

from service.main import create_app
from service.settings import Settings


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The OpenAPI document."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://u:p@127.0.0.1:1/d",
            "broker_url": "redis://127.0.0.1:1/0",
            "artifact_url": (nowhere / "artifacts").as_uri(),
            "model_root": nowhere,
            "cache_dir": nowhere,
        }
    )
    made: dict[str, Any] = create_app(settings).openapi()
    assert list(Path(nowhere).iterdir()) == [], "describing the service opens nothing"
    return made
