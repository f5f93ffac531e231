"""Options of one command for another, so that no option is declared twice."""

import inspect
from collections.abc import Callable, Collection


def with_options_of(
    command: Callable[..., None], *sources: Callable[..., None], without: Collection[str] = ()
) -> Callable[..., None]:
    """Return a command that takes keyword arguments, with the parameters of other commands except those in `without`.

    Of equal names the first source's parameter is used.
    """
    kept: dict[str, inspect.Parameter] = {}
    for source in sources:
        for name, each in inspect.signature(source).parameters.items():
            if name not in without:
                kept.setdefault(name, each)
    command.__signature__ = inspect.Signature(list(kept.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in kept.items()}
    return command
