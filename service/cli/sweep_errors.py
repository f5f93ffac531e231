"""Errors of the API about a sweep in terms of the options of the command."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from service.cli import axes, option_errors
from service.cli.job_options import flag
from service.cli.sweep_body import BOUNDS, PLACES
from service.contract.json_pointer import pointer, steps_of

_BOUND: Final = re.compile(rf"\b({'|'.join(sorted(BOUNDS, reverse=True))})\b")
_PARTS: Final = {"/over/sparsity": ("from_", "to"), "/over/patterns": ("patterns",), "/over/presets": ("presets",)}


@contextmanager
def named_options(given: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[None]:
    """Raise the API's InvalidInput as CommandFailed that names the options at fault, as far as an option was given."""
    with option_errors.named_options(given, lambda where: _place(where, given, body), _detail):
        yield


def _detail(text: str) -> str:
    """Return the text with options in place of bounds, and fields as a job's body has them."""
    return _BOUND.sub(lambda match: flag(match[0]), text.replace("template.", ""))


def _place(where: str, given: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """Return the option that set this place of the body, else the place itself."""
    if where.startswith("/template/"):
        return where if given["spec"] else option_errors.job_place(where.removeprefix("/template"), given)
    if where.startswith("/axes/"):
        return _axis(steps_of(where), given, body)
    if where == "front":
        return "--front"
    options = {"/" + place.replace(".", "/"): (name,) for name, place in PLACES.items()} | _PARTS
    names = next((names for place, names in options.items() if (where + "/").startswith(place + "/")), ())
    used = [flag(name) for name in names if given[name] is not None]
    if where == "/target" and given["target"] is not None:
        used = ["--target"]
    return " and ".join(used) or {"": "the sweep", "/axes": "the axes"}.get(where, where)


def _axis(steps: list[str], given: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """Return `--axis /recipe/preset, value "quick"`."""
    _, where, *rest = steps
    short = next((name for name, place in axes.SHORT.items() if place == where and given[name] is not None), None)
    is_given = short or any(text.startswith(f"{where}=") for text in given["axis"] or ())
    option = f"--{short}" if short else f"--axis {where}" if is_given else f"axis {where} in the file of --spec"
    if not rest:
        return option
    index, *below = rest
    value = json.dumps(body["axes"][where][int(index)], ensure_ascii=False)
    return f"{option}, value {value}" + (f", at {pointer(below)}" if below else "")
