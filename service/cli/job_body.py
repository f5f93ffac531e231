"""Body of `POST /v1/jobs` from command-line options. Only given options are sent; the service fills in the rest."""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from service.cli.job_options import flag
from service.cli.output import CommandFailed
from service.contract.json_flaws import json_flaw
from service.contract.targets import TASK

PLACES: Final = {
    "name": "name",
    "model": "model.id",
    "source": "model.source",
    "revision": "model.revision",
    "token": "model.token",
    "preset": "recipe.preset",
    "effort": "effort",
    "criterion": "recipe.criterion",
    "allocation": "recipe.allocation",
    "objective": "recipe.objective",
    "dataset": "calibration.dataset",
    "samples": "calibration.num_samples",
    "evaluate": "evaluation.perplexity",
    "speed": "evaluation.speed",
    "tasks": "evaluation.tasks",
    "task_limit": "evaluation.task_limit",
    "few_shot": "evaluation.few_shot",
    "agreement_windows": "evaluation.agreement_windows",
    "formats": "output.formats",
    "hub_repo": "output.hub.repo",
    "hub_token": "output.hub.token",
    "hub_branch": "output.hub.branch",
    "mlflow_experiment": "output.mlflow.experiment",
    "mlflow_run": "output.mlflow.run_name",
    "mlflow_model": "output.mlflow.registered_model",
    "mlflow_alias": "output.mlflow.alias",
    "device": "device",
    "priority": "priority",
}
"""Path in the body of each option whose value is sent unchanged."""
DEFAULT_EFFORT: Final = "quick"
"""Effort of jobs described by options alone, so that a first job ends within minutes and needs no hub."""


def of_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for the options of `dsnot jobs submit`, given by name.

    Raises:
        CommandFailed: options contradict each other, have a wrong value, or no model is given.
    """
    body = with_options(read_spec(given["spec"]), given)
    if "model" not in body:
        raise CommandFailed("no model given; name one, or one in the file of --spec", 2)
    return body


def with_options(body: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Set what the options give in the body, and return it."""
    _refuse_infinite(given)
    values = {place: given[option] for option, place in PLACES.items()} | {
        "output.hub.private": False if given["hub_public"] else None,
        "recipe.pattern": pattern(given["sparsity"], given["pattern"]),
        "recipe.refinement": given["refinement"] and {"method": given["refinement"]},
        "recipe.update": given["update"] and {"method": given["update"]},
        "calibration.sequence_length": given["sequence_length"],
        "evaluation.sequence_length": given["sequence_length"],
        "calibration.bos": given["bos"],
        "evaluation.bos": given["bos"],
        "evaluation.require": [gate(text) for text in given["require"] or []],
        "labels": more_labels(body.get("labels"), given["label"] or []),
    }
    for place, value in values.items():
        put(body, place, value)
    set_samples(body, given["generate"], given["prompts"] or [])
    if given["spec"] is None:
        body.setdefault("effort", DEFAULT_EFFORT)
    return body


def _refuse_infinite(given: Mapping[str, Any]) -> None:
    """Raise CommandFailed if an option is NaN or infinite, which JSON cannot express."""
    for option, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CommandFailed(f"{flag(option)} must be a finite number such as 0.5, not {value}", 2)


def set_samples(body: dict[str, Any], are_taken: bool | None, prompts: list[str]) -> None:
    """Set `evaluation.samples` by `--generate`, `--no-generate` and `--prompt`; a request overrides the limit of size.

    Raises:
        CommandFailed: prompts are given, and no samples shall be taken.
    """
    if are_taken is False and prompts:
        raise CommandFailed("--prompt and --no-generate exclude each other: leave out one of them", 2)
    before = body.get("evaluation")
    evaluation = dict(before) if isinstance(before, dict) else {}
    samples = evaluation.get("samples")
    if are_taken is False:
        body["evaluation"] = evaluation | {"samples": None}
    elif are_taken or prompts:
        known = samples if isinstance(samples, dict) else {}
        wanted = known | ({"prompts": prompts} if prompts else {}) | ({"max_weight_bytes": None} if are_taken else {})
        body["evaluation"] = evaluation | {"samples": wanted}


def read_spec(file: str | None) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for `-`; an empty one if no file is given."""
    if file is None:
        return {}
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        spec = json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"{file} is not JSON: {json_flaw(error)}") from error
    if not isinstance(spec, dict):
        raise CommandFailed(f"{file} is not a JSON object")
    return spec


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` of a nested object, unless the value is None or empty; the value from the file is overridden."""
    if value is None or value in ([], {}):
        return
    *parents, name = path.split(".")
    for parent in parents:
        below = body.get(parent)
        body[parent] = dict(below) if isinstance(below, dict) else {}
        body = body[parent]
    body[name] = value


def pattern(sparsity: float | None, groups: str | None) -> dict[str, Any] | None:
    """Return `--sparsity 0.5` or `--pattern 2:4` as the recipe's pattern.

    Raises:
        CommandFailed: both are given, or the second is not two numbers.
    """
    if sparsity is not None and sparsity == 0:
        raise CommandFailed("--sparsity 0 prunes nothing; give a fraction between 0 and 1, such as 0.5", 2)
    if groups is None:
        return None if sparsity is None else {"type": "unstructured", "sparsity": sparsity}
    if sparsity is not None:
        raise CommandFailed("--sparsity and --pattern exclude each other: n:m fixes the sparsity", 2)
    n, colon, m = groups.partition(":")
    if not (colon and n.isascii() and n.isdigit() and m.isascii() and m.isdigit()):
        raise CommandFailed(f"--pattern takes n:m such as 2:4 (at most 2 of every 4 are kept), not {groups!r}", 2)
    return {"type": "n:m", "n": int(n), "m": int(m)}


def gate(text: str) -> dict[str, Any]:
    """Return `--require perplexity:wiki-sample,at-most-increase=0.3` as a gate of the body.

    Raises:
        CommandFailed: it has no bound, or one that is no number.
    """
    named, *bounds = [part.strip() for part in text.split(",")]
    if "=" in named:
        named, bounds = "", [named, *bounds]
    metric, colon, dataset = ("", "", "") if named.startswith(TASK) else named.partition(":")
    found: dict[str, Any] = {"metric": metric or named} | ({"dataset": dataset} if colon else {}) if named else {}
    for bound in bounds:
        name, equals, value = bound.partition("=")
        if not equals:
            raise CommandFailed(f"--require {text}: {bound!r} is no bound; write one such as at-most-increase=0.3", 2)
        found[name.replace("-", "_")] = value if name == "judge-by" else _number(value, f"--require {text}: {name}")
    if not bounds:
        remedy = f"add one, such as --require {text},at-most-increase=0.3"
        raise CommandFailed(f"--require {text} has no bound; {remedy}", 2)
    return found


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CommandFailed(f"{where} must be a number such as 0.3, not {text!r}", 2)
    return value


def more_labels(before: Any, given: Iterable[str]) -> dict[str, str] | None:
    """Return the file's labels with those of the command line, which win; None if the latter are empty."""
    new = labels(given)
    return {**(before if isinstance(before, dict) else {}), **new} if new else None


def labels(given: Iterable[str]) -> dict[str, str]:
    """Return the labels of `--label team=search`, given once or more.

    Raises:
        CommandFailed: one has no `=`.
    """
    pairs = [label.partition("=") for label in given]
    for name, equals, value in pairs:
        if not name or not equals:
            raise CommandFailed(f"--label takes name=value, not {name + equals + value!r}", 2)
    return {name: value for name, _, value in pairs}
