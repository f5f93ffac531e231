"""Calls for models (`client.models`), recipe options and workers."""

from typing import Any

from service.client.aio.http import AsyncCalls
from service.client.answers import LocalModel, ModelInfo, Worker
from service.client.request import drop_none, list_of, path_to


class AsyncModelCalls(AsyncCalls):
    """Models."""

    async def inspect(
        self,
        id: str,  # noqa: A002
        *,
        source: str = "hub",
        revision: str | None = None,
        token: str | None = None,
    ) -> ModelInfo:
        """Return facts about a model, and whether it can be pruned, without downloading its weights."""
        query = drop_none(id=id, source=source, revision=revision, token=token)
        return await self._http.fetch(ModelInfo.model_validate, "GET", path_to("models", "inspect"), query=query)

    async def list(self) -> list[LocalModel]:
        """List the local models, as far as the service can read the model root."""
        return await self._http.fetch(list_of(LocalModel.model_validate), "GET", path_to("models"))


class AsyncCatalogueCalls(AsyncCalls):
    """Recipe options and workers."""

    async def recipes(self) -> dict[str, Any]:
        """Return the options of a job: presets, every choice with its settings, data sets, defaults."""
        return await self._http.fetch(dict, "GET", path_to("recipes"))

    async def workers(self) -> list[Worker]:
        """List the workers and their current jobs."""
        return await self._http.fetch(list_of(Worker.model_validate), "GET", path_to("workers"))
