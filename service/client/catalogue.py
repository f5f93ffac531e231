"""Calls about what can be asked for, and who does it."""

from typing import Any, Generic

from service.client.answers import ModelInfo, Worker
from service.client.asking import asking
from service.client.call import Call, as_list, as_one, path_to, said
from service.client.methods import Calls, Driver, Method


def inspect_model(id: str, *, source: str = "hub", revision: str | None = None, token: str | None = None) -> Call[ModelInfo]:  # noqa: A002
    """What a model is, and whether it can be pruned, without fetching its weights."""
    query = said(id=id, source=source, revision=revision, token=token)
    return Call("GET", path_to("models", "inspect"), as_one(ModelInfo.model_validate), query=query)


def recipes() -> Call[dict[str, Any]]:
    """What can be asked for: presets, every choice with its settings, data sets, defaults."""
    return Call("GET", path_to("recipes"), as_one(dict))


def workers() -> Call[list[Worker]]:
    """Who takes jobs, and what each is at."""
    return Call("GET", path_to("workers"), as_list(Worker.model_validate))


class CatalogueCalls(Calls[Driver], Generic[Driver]):
    inspect_model = Method(asking(inspect_model))
    recipes = Method(asking(recipes))
    workers = Method(asking(workers))
