"""Errors of the API in terms of the options of `dsnot jobs submit`."""

import inspect
import math
from typing import Any, get_args

import pytest
from typer.models import OptionInfo

from service.cli import job_body
from service.cli.job_options import flag
from service.cli.option_errors import job_place, named_options
from service.cli.output import CommandFailed
from service.cli.submitting import submit
from service.client import InvalidInput

NOT_IN_THE_BODY = {"spec", "idempotency_key", "follow", "as_json"}


def options(**given: Any) -> dict[str, Any]:
    return {name: given.get(name) for name in inspect.signature(submit).parameters}


def message(given: dict[str, Any], *errors: tuple[str, str]) -> str:
    problem = {"title": "Validation failed", "errors": [{"pointer": where, "detail": detail} for where, detail in errors]}
    with pytest.raises(CommandFailed) as caught, named_options(given):
        raise InvalidInput(422, problem)
    return str(caught.value)


EXAMPLES: dict[str, Any] = {
    "sparsity": 0.5,
    "pattern": "2:4",
    "label": ["a=b"],
    "hub_public": True,
    "speed": True,
    "generate": True,
    "require": "perplexity,at-most=20",
}
LISTS = ("evaluate", "tasks", "formats", "prompts", "require")


def places_in(body: Any, pointer: str = "") -> list[str]:
    """The pointers of all values that are no objects."""
    if isinstance(body, dict):
        return [place for name, value in body.items() for place in places_in(value, f"{pointer}/{name}")]
    return [pointer]


@pytest.mark.parametrize("name", sorted(set(inspect.signature(submit).parameters) - NOT_IN_THE_BODY))
def test_every_option_is_named_for_every_place_that_it_sets(name: str) -> None:
    given = options(**{"model": "m", name: [EXAMPLES.get(name, "x")] if name in LISTS else EXAMPLES.get(name, "x")})
    declared = [each for each in get_args(inspect.signature(submit).parameters[name].annotation) if isinstance(each, OptionInfo)]
    expected = next((each for info in declared for each in info.param_decls or ()), flag(name))
    always = {*places_in(job_body.of_options(options(model="m")))} - {{"effort": "/effort", "model": "/model/id"}.get(name)}
    places = [each for each in places_in(job_body.of_options(given)) if each not in always and not each.endswith("/type")]
    assert {job_place(place, given).split()[0] for place in places} == {expected}


@pytest.mark.parametrize(
    ("given", "where", "expected"),
    [
        ({"sparsity": 50.0}, "/recipe/pattern/sparsity", "--sparsity 50"),
        ({"sparsity": 0.25}, "/recipe/pattern", "--sparsity 0.25"),
        ({"pattern": "4:4"}, "/recipe/pattern/n", "--pattern 4:4"),
        ({"evaluate": ["c4", "nowhere"]}, "/evaluation/perplexity/1", "--evaluate nowhere"),
        ({"label": ["team=x", "a b=y"]}, "/labels/a b", "--label a b=y"),
        ({"hub_public": True}, "/output/hub/private", "--hub-public"),
        ({"model": "../x"}, "/model/id", "MODEL ../x"),
        ({}, "/evaluation/perplexity", "--evaluate"),
        ({}, "/max_attempts", "/max_attempts"),
        ({}, "", "the job"),
        ({"spec": "job.json"}, "/recipe/criterion", "/recipe/criterion in job.json"),
        ({"spec": "-"}, "/max_attempts", "/max_attempts in the standard input"),
        ({"spec": "job.json", "criterion": "luck"}, "/recipe/criterion", "--criterion luck"),
    ],
)
def test_a_pointer_becomes_the_option_that_was_given_or_its_place_in_the_file(
    given: dict[str, Any], where: str, expected: str
) -> None:
    assert job_place(where, options(**given)) == expected


def test_one_error_is_one_line_and_several_are_listed() -> None:
    given = options(sparsity=50.0, criterion="luck")
    first, second = ("/recipe/pattern/sparsity", "give a fraction"), ("/recipe/criterion", "must be 'wanda'")
    assert message(given, first) == "--sparsity 50: give a fraction"
    assert message(given, first, second) == (
        "Validation failed:\n  --sparsity 50: give a fraction\n  --criterion luck: must be 'wanda'"
    )


def test_fields_within_a_message_become_options() -> None:
    detail = "evaluation.perplexity and evaluation.tasks need a head"
    assert message(options(), ("/evaluation/perplexity", detail)) == "--evaluate: --evaluate and --task need a head"


def test_a_sparsity_of_zero_is_refused() -> None:
    with pytest.raises(CommandFailed, match="--sparsity 0 prunes nothing; give a fraction between 0 and 1"):
        job_body.of_options(options(model="m", sparsity=0.0))


@pytest.mark.parametrize("sparsity", [math.nan, math.inf, -math.inf])
def test_a_sparsity_that_is_no_finite_number_is_refused(sparsity: float) -> None:
    with pytest.raises(CommandFailed, match=f"--sparsity must be a finite number such as 0.5, not {sparsity}"):
        job_body.of_options(options(model="m", sparsity=sparsity))
