"""Calls for models, recipe options and workers."""

from typing import Any, Generic

from service.client.answers import ModelInfo, Worker
from service.client.asking import asking
from service.client.call import Call, as_list, as_one, path_to, said
from service.client.methods import Calls, Driver, Method


def inspect_model(id: str, *, source: str = "hub", revision: str | None = None, token: str | None = None) -> Call[ModelInfo]:  # noqa: A002
    """Return facts about a model, and whether it can be pruned, without downloading its weights."""
    query = said(id=id, source=source, revision=revision, token=token)
    return Call("GET", path_to("models", "inspect"), as_one(ModelInfo.model_validate), query=query)


def recipes() -> Call[dict[str, Any]]:
    """Return the options of a job: presets, every choice with its settings, data sets, defaults."""
    return Call("GET", path_to("recipes"), as_one(dict))


def workers() -> Call[list[Worker]]:
    """List the workers and their current jobs."""
    return Call("GET", path_to("workers"), as_list(Worker.model_validate))


class CatalogueCalls(Calls[Driver], Generic[Driver]):
    """Models, recipe options and workers."""

    inspect_model = Method(asking(inspect_model))
    recipes = Method(asking(recipes))
    workers = Method(asking(workers))
