"""Body of `POST /v1/sweeps` from command-line options. Only given options are sent; the service fills in the rest."""

from collections.abc import Mapping
from typing import Any, Final

from service.cli import axes, job_body
from service.cli.job_options import flag
from service.cli.output import CommandFailed

BOUNDS: Final = ("at_most", "at_most_increase", "at_least", "at_most_decrease")
PLACES: Final = {
    "name": "name",
    "target": "target.metric",
    **{bound: f"target.{bound}" for bound in BOUNDS},
    "on": "target.dataset",
    "step": "over.step",
    "max_points": "max_points",
    "judge_by": "judge_by",
    "try_first": "try_first",
    "keep": "keep",
}
"""Path in the body of each option whose value is sent unchanged."""
_SEARCH_ONLY: Final = ("from_", "to", "step", "max_points", "judge_by", "try_first")


def of_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for the options of `dsnot sweeps create`, given by name.

    Raises:
        CommandFailed: options contradict each other, or one is missing.
    """
    body = job_body.read_spec(given["spec"])
    template = body.get("template")
    body["template"] = job_body.with_options(dict(template) if isinstance(template, dict) else {}, {**given, "name": None})
    if any(given[bound] is not None for bound in BOUNDS) and isinstance(body.get("target"), dict):
        body["target"] = {name: value for name, value in body["target"].items() if name not in BOUNDS}
    for option, place in PLACES.items():
        job_body.put(body, place, given[option])
    if body.get("target") is None:
        _put_axes(body, given)
    else:
        _put_candidates(body, given)
    if "model" not in body["template"]:
        raise CommandFailed("no model given; name one, or one in the template of the file of --spec", 2)
    return body


def _put_axes(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    for name in _SEARCH_ONLY:
        if given[name] is not None:
            remedy = "such as --target perplexity --at-most-increase 0.05"
            raise CommandFailed(f"{flag(name)} belongs to a search; add --target with its bound, {remedy}", 2)
    before = body.get("axes")
    job_body.put(body, "axes", {**(before if isinstance(before, dict) else {}), **axes.axes(given)})
    if "axes" not in body:
        remedy = "add --presets, --sparsities, --patterns or --axis for a grid, or --target for a search"
        raise CommandFailed(f"nothing varies; {remedy}", 2)


def _put_candidates(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Set the candidates of a search: `--from` and `--to`, `--patterns`, or `--presets`."""
    excluded = "--axis" if given["axis"] else "--sparsities" if given["sparsities"] is not None else None
    if excluded or body.get("axes"):
        remedy = "a search takes --from and --to, --patterns, or --presets"
        raise CommandFailed(f"{excluded or 'axes in the file of --spec'} and --target exclude each other; {remedy}", 2)
    before = body["over"] if isinstance(body.get("over"), dict) else {}
    new = {
        name: axes.values(f"--{name}", axes.SHORT[name], given[name])
        for name in ("patterns", "presets")
        if given[name] is not None
    }
    if (given["from_"], given["to"]) != (None, None):
        new["sparsity"] = _bounds(before.get("sparsity"), given["from_"], given["to"])
    if len(new) > 1:
        raise CommandFailed("a search takes one kind of candidates: --from and --to, --patterns, or --presets", 2)
    if new:
        body["over"] = {name: value for name, value in before.items() if name == "step"} | new
    if not {"sparsity", "patterns", "presets"} & body.get("over", {}).keys():
        raise CommandFailed("--target needs candidates: --from 0.3 --to 0.8 (sparsities), or --patterns, or --presets", 2)


def _bounds(before: Any, lowest: float | None, highest: float | None) -> list[float]:
    known = before if isinstance(before, list) and len(before) == 2 else [None, None]
    bounds = [old if new is None else new for new, old in zip((lowest, highest), known, strict=True)]
    if None in bounds:
        raise CommandFailed("--from and --to go together: the lowest and the highest sparsity of the search", 2)
    return bounds
