"""Look-ups of models take bounded time and a share of the service's threads."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.contract.model_spec import ModelSpec
from service.models import hub_client
from service.models.hub_client import Hub, Repository
from service.models.operations import inspect
from service.models.refusals import HubUnavailable
from service.models.sources import ModelSources
from service.settings import Settings
from service.tenants.shares import ShareExceeded
from tests.support.waiting import CEILING_SECONDS

MODEL = ModelSpec(id="org/model")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a service without a hub."""
    return Settings.model_construct(
        model_root=tmp_path, hub_allow=[], hub_from_service=False, hub_seconds=1.0, hub_tokens_dir=None
    )


def test_a_tenant_with_its_share_of_look_ups_creates_jobs_unchecked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = None
    database: Any = None
    sources = ModelSources(settings, database, store, lambda *_: None)
    for _ in range(8):
        sources.lookups.acquire("acme")
    with pytest.raises(ShareExceeded):
        inspect(sources, MODEL, tenant="acme")
    with pytest.raises(HubUnavailable):
        inspect(sources, MODEL, tenant="other")
    monkeypatch.setattr(sources, "find", None)  # not called
    assert sources.pin(MODEL, tenant="acme") == (MODEL, None)
    sources.close()


def test_nothing_more_is_read_of_a_hub_model_after_its_deadline(settings: Settings) -> None:
    hub = Hub(settings)
    late = Repository(hub, MODEL, "acme", None, "a" * 40, {"config.json": 2}, None, 1.0, deadline=0.0)
    with pytest.raises(HubUnavailable, match="within 60 s"):
        late.read("config.json", 0, 2)
    hub.close()


def test_the_trouble_of_one_tenant_s_model_does_not_keep_others_from_the_hub(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def info(model: ModelSpec, *_: object) -> Any:
        asked.append(model.id)
        if model.id == "org/broken":
            raise ConnectionResetError
        return SimpleNamespace(sha="a" * 40, siblings=[], card_data=None)

    monkeypatch.setattr(hub_client, "repository_info", info)
    hub = Hub(settings.model_copy(update={"hub_from_service": True}))
    for _ in range(2):
        with pytest.raises(HubUnavailable):
            hub.repository(ModelSpec(id="org/broken"), "acme", CEILING_SECONDS)
    assert hub.repository(MODEL, "other", CEILING_SECONDS).commit == "a" * 40
    assert asked == ["org/broken", MODEL.id]
    hub.close()
