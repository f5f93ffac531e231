# generated from aio/ by `make client`; do not edit
"""Calls for models (`client.models`), recipe options and workers."""

from typing import Any

from service.client.answers import LocalModel, ModelInfo, Worker
from service.client.blocking.http import Calls
from service.client.request import drop_none, list_of, path_to


class ModelCalls(Calls):
    """Models."""

    def inspect(
        self,
        id: str,  # noqa: A002
        *,
        source: str = "hub",
        revision: str | None = None,
        token: str | None = None,
    ) -> ModelInfo:
        """Return facts about a model, and whether it can be pruned, without downloading its weights."""
        query = drop_none(id=id, source=source, revision=revision, token=token)
        return self._http.fetch(ModelInfo.model_validate, "GET", path_to("models", "inspect"), query=query)

    def list(self) -> list[LocalModel]:
        """List the local models, as far as the service can read the model root."""
        return self._http.fetch(list_of(LocalModel.model_validate), "GET", path_to("models"))


class CatalogueCalls(Calls):
    """Recipe options and workers."""

    def recipes(self) -> dict[str, Any]:
        """Return the options of a job: presets, every choice with its settings, data sets, defaults."""
        return self._http.fetch(dict, "GET", path_to("recipes"))

    def workers(self) -> list[Worker]:
        """List the workers and their current jobs."""
        return self._http.fetch(list_of(Worker.model_validate), "GET", path_to("workers"))
