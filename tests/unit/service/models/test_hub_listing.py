"""The list of files of a hub repository is read within limits, by service and worker alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from service.models.hub import listing
from service.models.hub_client import Hub
from service.models.refusals import ModelUnsafe
from tests.support import checkpoints
from tests.support.download_hub import TinyHub
from worker.failures import ModelError
from worker.inputs.hub_download import fetch

MODEL = ModelSpec(id="org/many")


@pytest.fixture(autouse=True)
def _hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with TinyHub() as started:
        started.add(MODEL.id, None, {f"{number}.json": b"{}" for number in range(20)})
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", started.address)
        yield


@pytest.mark.parametrize(("name", "limit"), [("MAX_FILES", 19), ("MAX_BYTES", 500)])
def test_a_longer_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    settings = checkpoints.settings(tmp_path, hub_from_service=True)
    hub = Hub(settings)
    assert len(hub.repository(MODEL, "acme", 10.0).sizes) == 20

    monkeypatch.setattr(listing, name, limit)

    with pytest.raises(ModelUnsafe) as refused:
        hub.repository(MODEL, "acme", 10.0)
    hub.close()
    with pytest.raises(ModelError) as failed:
        fetch(MODEL, settings, tenant="acme")
    assert refused.value.detail == failed.value.detail
    assert f"more than {listing.MAX_FILES:,} files" in failed.value.detail
    assert failed.value.code is FailureCode.MODEL_UNSAFE
