"""Options of one command for another, so that no option is declared twice."""

import inspect
from collections.abc import Callable, Collection
from copy import copy
from typing import Annotated, get_args

from typer.models import OptionInfo


def with_options_of(
    command: Callable[..., None], *sources: Callable[..., None], without: Collection[str] = (), panel: str | None = None
) -> Callable[..., None]:
    """Return a command that takes keyword arguments, with the parameters of other commands except those in `without`.

    Of equal names the first source's parameter is used. `panel`: heading of the last source's options in the help.
    """
    kept: dict[str, inspect.Parameter] = {}
    for source in sources:
        for name, each in inspect.signature(source).parameters.items():
            if name not in without and name not in kept:
                kept[name] = _under(panel, each) if panel and source is sources[-1] else each
    command.__signature__ = inspect.Signature(list(kept.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in kept.items()}
    return command


def _under(panel: str, parameter: inspect.Parameter) -> inspect.Parameter:
    kind, *about = get_args(parameter.annotation)
    infos = [copy(info) for info in about if isinstance(info, OptionInfo)]
    for info in infos:
        info.rich_help_panel = panel
    return parameter.replace(annotation=Annotated[kind, infos[0]]) if infos else parameter
