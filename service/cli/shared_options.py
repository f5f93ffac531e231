"""Options of one command for another, so that no option is declared twice, and their groups in the help."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from typing import Annotated, get_args

from typer.models import OptionInfo

Command = Callable[..., None]


def with_options_of(command: Command, *sources: Command, without: Collection[str] = ()) -> Command:
    """Return a command that takes keyword arguments, with the parameters of other commands except those in `without`.

    Of equal names the first source's parameter is used.
    """
    kept: dict[str, inspect.Parameter] = {}
    for source in sources:
        for name, each in inspect.signature(source).parameters.items():
            if name not in without and name not in kept:
                kept[name] = each
    return _with_parameters(command, kept)


def in_panels(panels: Mapping[str, Sequence[str]]) -> Callable[[Command], Command]:
    """Return a decorator that groups options in the help: the names of parameters by heading."""
    panel_of = {name: panel for panel, names in panels.items() for name in names}

    def grouped(command: Command) -> Command:
        parameters = inspect.signature(command).parameters
        return _with_parameters(
            command, {name: _under(panel_of[name], each) if name in panel_of else each for name, each in parameters.items()}
        )

    return grouped


def _with_parameters(command: Command, kept: Mapping[str, inspect.Parameter]) -> Command:
    command.__signature__ = inspect.Signature(list(kept.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in kept.items()}
    return command


def _under(panel: str, parameter: inspect.Parameter) -> inspect.Parameter:
    kind, *about = get_args(parameter.annotation)
    infos = [copy(info) for info in about if isinstance(info, OptionInfo)]
    for info in infos:
        info.rich_help_panel = panel
    return parameter.replace(annotation=Annotated[kind, infos[0]]) if infos else parameter
