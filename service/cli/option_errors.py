"""Errors of the API about a job's body in terms of the options of the command."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from service.cli.job_body import PLACES
from service.cli.job_options import flag
from service.cli.output import CommandFailed
from service.contract.json_pointer import steps_of

_MORE_PLACES: Final = {
    "pattern": "recipe.pattern",
    "sparsity": "recipe.pattern.sparsity",
    "refinement": "recipe.refinement.method",
    "update": "recipe.update.method",
    "sequence_length": "calibration.sequence_length",
    "bos": "calibration.bos",
    "hub_public": "output.hub.private",
    "require": "evaluation.require",
    "label": "labels",
    "generate": "evaluation.samples",
    "prompts": "evaluation.samples.prompts",
}
_ALSO: Final = {"evaluation.sequence_length": "sequence_length", "evaluation.bos": "bos"}

_OPTIONS: Final = {place: option for option, place in (PLACES | _MORE_PLACES).items()} | _ALSO
"""Option of each place in a job's body: the one table of both directions."""
_DOTTED: Final = sorted((place for place in _OPTIONS if "." in place), key=len, reverse=True)


@contextmanager
def named_options(
    given: Mapping[str, Any],
    place: Callable[[str], str] | None = None,
    detail: Callable[[str], str] = lambda text: text,
) -> Iterator[None]:
    """Raise the API's InvalidInput as CommandFailed that names options instead of JSON pointers.

    Args:
        given: the options of the command, by name.
        place: returns the words for a JSON pointer; by default those of a job's body.
        detail: rewrites a message, whose fields of a job's body are then replaced by options.
    """
    from service.client import InvalidInput

    place = place or (lambda where: job_place(where, given))
    try:
        yield
    except InvalidInput as error:
        faults = [f"{place(each.get('pointer', ''))}: {_in_options(detail(each.get('detail', '')))}" for each in error.errors]
        if len(faults) == 1:
            raise CommandFailed(faults[0]) from error
        raise CommandFailed("\n  ".join([f"{error.title}:", *faults]) if faults else _in_options(error.detail)) from error


def job_place(where: str, given: Mapping[str, Any]) -> str:
    """Return `--sparsity 50` for a JSON pointer into the body of a job, or where in the file of --spec it is."""
    file = given.get("spec")
    in_file = f"{where or 'the body'} in {'the standard input' if file == '-' else file}" if file else where or "the job"
    steps = steps_of(where)
    for length in range(len(steps), 0, -1):
        option = _option(".".join(steps[:length]), given)
        if option is not None:
            value = _value(given.get(option), steps[length:])
            return f"{flag(option)} {value}" if value else in_file if file else flag(option)
    return in_file


def _option(place: str, given: Mapping[str, Any]) -> str | None:
    """Return the option that sets a place of the body; of --sparsity and --pattern the one that was given."""
    if place == "recipe.pattern" and given.get("pattern") is None:
        return "sparsity"
    return _OPTIONS.get(place)


def _value(value: Any, below: list[str]) -> str:
    """Return what was given for an option, or for a list the item that the rest of the pointer names."""
    if isinstance(value, list):
        if below and below[0].isdigit() and int(below[0]) < len(value):
            return str(value[int(below[0])])
        if below:
            return next((each for each in value if each.startswith(f"{below[0]}=")), "")
        return " ".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None or isinstance(value, bool) else str(value)


def _in_options(text: str) -> str:
    """Return the text with options in place of the fields that they set, such as `evaluation.tasks`."""
    for place in _DOTTED:
        text = text.replace(place, flag(_OPTIONS[place]))
    return text
