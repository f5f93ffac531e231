"""Options of `dsnot sweeps`, the API's errors in their terms, and the views."""

import inspect
import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from service.cli import sweep_body, sweeps
from service.cli.axes import values
from service.cli.output import CommandFailed
from service.cli.shared_options import with_options_of
from service.cli.submitting import submit
from service.cli.sweep_errors import named_options
from service.cli.sweep_views import points_table, titles
from service.cli.sweep_watching import EXIT_STATUS, _rendered, news
from service.client import Event, InvalidInput, SweepDetail
from service.contract.sweeps import ENDED, SweepSpec

TEMPLATE = {"model": {"id": "org/model"}}


def given(**options: Any) -> dict[str, Any]:
    """All options of `dsnot sweeps create`, with their defaults."""
    command = with_options_of(lambda **_: None, sweeps._sweep_options, submit)
    defaults = {name: each.default for name, each in inspect.signature(command).parameters.items()}
    assert options.keys() <= defaults.keys()
    return defaults | {"model": "org/model"} | options


@pytest.mark.parametrize(
    ("where", "text", "expected"),
    [
        ("/x", "fast,best", ["fast", "best"]),
        ("/x", '1, true ,null,"a,b",[1,2],{"a":[1,2]},NaN', [1, True, None, "a,b", [1, 2], {"a": [1, 2]}, "NaN"]),
        ("/x", "0.4..0.7:0.1", [0.4, 0.5, 0.6, 0.7]),
        ("/x", "0.4..0.65:0.1,0.9", [0.4, 0.5, 0.6, 0.9]),
        ("/x", "0..3", [0, 1, 2, 3]),
        ("/x", "5..25:10", [5, 15, 25]),
        ("/recipe/pattern", "0.5,2:4", [{"type": "unstructured", "sparsity": 0.5}, {"type": "n:m", "n": 2, "m": 4}]),
        ("/recipe/update", 'none,{"method":"admm"}', [{"method": "none"}, {"method": "admm"}]),
    ],
)
def test_values_are_json_ranges_or_text(where: str, text: str, expected: list[Any]) -> None:
    assert values("--axis", where, text) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": ["/recipe/preset"]}, "--axis takes POINTER=VALUE,VALUE"),
        ({"axis": ["recipe.preset=fast"]}, "recipe.preset is no JSON pointer"),
        ({"axis": ["/x=1,,2"]}, "--axis /x has an empty value"),
        ({"axis": ["/x=0.1..0.3"]}, "write it as 0.1..0.3:0.1"),
        ({"axis": ["/x=3..1"]}, "LOWEST..HIGHEST:STEP"),
        ({"axis": ["/x=1..3:0"]}, "with a positive step"),
        ({"axis": ["/x=0..1000000000000"]}, "more than 200 values"),
        ({"patterns": "dense"}, "--patterns takes sparsities such as 0.5 and n:m such as 2:4, not 'dense'"),
        ({"axis": ["/recipe/preset=a"], "presets": "b"}, "--axis /recipe/preset and --presets set the same axis"),
        ({}, "nothing varies; add --presets"),
        ({"target": "perplexity", "at_most": math.inf}, "--at-most must be a finite number such as 0.5, not inf"),
        ({"target": "perplexity", "from_": math.nan}, "--from must be a finite number such as 0.5, not nan"),
        ({"presets": "a,b", "model": None}, "no model given"),
        ({"from_": 0.3}, "--from belongs to a search; add --target"),
        ({"presets": "a,b", "max_points": 3}, "--max-points belongs to a search"),
        ({"target": "perplexity", "at_most": 1}, "--target needs candidates"),
        ({"target": "perplexity", "at_most": 1, "axis": ["/x=1"]}, "--axis and --target exclude each other"),
        ({"target": "perplexity", "at_most": 1, "sparsities": "0.1"}, "--sparsities and --target exclude each other"),
        ({"target": "perplexity", "at_most": 1, "to": 0.8}, "--from and --to go together"),
        ({"target": "perplexity", "at_most": 1, "presets": "a,b", "patterns": "0.5,2:4"}, "one kind of candidates"),
    ],
)
def test_wrong_options_are_named_with_a_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        sweep_body.of_options(given(**options))
    assert message in str(caught.value)
    assert caught.value.exit_status == 2


def test_options_make_a_grid() -> None:
    body = sweep_body.of_options(given(presets="fast,best", sparsities="0.4,0.5", evaluate=["wiki-sample"], name="nightly"))
    assert body == {
        "name": "nightly",
        "template": {"model": {"id": "org/model"}, "effort": "quick", "evaluation": {"perplexity": ["wiki-sample"]}},
        "axes": {"/recipe/preset": ["fast", "best"], "/recipe/pattern/sparsity": [0.4, 0.5]},
    }
    SweepSpec.model_validate(body)


@pytest.mark.parametrize(
    ("options", "over"),
    [
        ({"from_": 0.3, "to": 0.8, "step": 0.05}, {"sparsity": [0.3, 0.8], "step": 0.05}),
        ({"presets": "fast,best"}, {"presets": ["fast", "best"]}),
        ({"patterns": "0.4,2:4"}, {"patterns": [{"type": "unstructured", "sparsity": 0.4}, {"type": "n:m", "n": 2, "m": 4}]}),
    ],
)
def test_options_make_a_search(options: dict[str, Any], over: dict[str, Any]) -> None:
    body = sweep_body.of_options(given(at_most_increase=0.05, **options))
    assert body == {"template": TEMPLATE | {"effort": "quick"}, "target": {"at_most_increase": 0.05}, "over": over}
    assert SweepSpec.model_validate(body).target is not None


def test_options_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.json"
    search = {"target": {"metric": "perplexity", "at_most": 20, "dataset": "c4"}, "over": {"sparsity": [0.2, 0.8], "step": 0.1}}
    file.write_text(json.dumps({"template": TEMPLATE | {"priority": 1}, **search}))
    body = sweep_body.of_options(given(model=None, spec=str(file), priority=3, at_most_increase=0.1, to=0.6))
    assert body["template"] == TEMPLATE | {"priority": 3}
    assert body["target"] == {"metric": "perplexity", "at_most_increase": 0.1, "dataset": "c4"}
    assert body["over"] == {"sparsity": [0.2, 0.6], "step": 0.1}
    with pytest.raises(CommandFailed, match="--axis and --target exclude each other"):
        sweep_body.of_options(given(spec=str(file), axis=["/x=1"]))
    file.write_text(json.dumps({"template": TEMPLATE, "axes": {"/recipe/preset": ["fast"], "/priority": [1]}}))
    assert sweep_body.of_options(given(spec=str(file), presets="best"))["axes"] == {"/recipe/preset": ["best"], "/priority": [1]}


@pytest.mark.parametrize(
    ("options", "pointer", "detail", "message"),
    [
        ({"presets": "fast,odd"}, "/axes/~1recipe~1preset/1", "no", '--presets, value "odd": no'),
        (
            {"axis": ['/recipe/update={"a":1}']},
            "/axes/~1recipe~1update/0/a",
            "no",
            '--axis /recipe/update, value {"a": 1}, at /a: no',
        ),
        ({"axis": ["/a=1"]}, "/axes", "too many", "the axes: too many"),
        ({"at_most": 1, "from_": 0.3, "to": 0.8}, "/target/at_most", "no; use at_least", "--at-most: no; use --at-least"),
        ({"at_most": 1, "from_": 0.3, "to": 0.8}, "/over/sparsity", "no", "--from and --to: no"),
        ({"at_most": 1, "from_": 0.3, "to": 0.8, "on": "c4"}, "/target/dataset", "no", "--on: no"),
        ({"presets": "fast,best"}, "/template/recipe/criterion", "no", "--criterion: no"),
        ({"presets": "fast", "sparsity": 50.0}, "/template/recipe/pattern/sparsity", "no", "--sparsity 50: no"),
        ({"presets": "fast,best", "keep": "best"}, "/keep", "no", "--keep: no"),
    ],
)
def test_errors_of_the_api_name_the_option(options: dict[str, Any], pointer: str, detail: str, message: str) -> None:
    options = given(**options)
    problem = {"title": "Validation failed", "errors": [{"pointer": pointer, "detail": detail}]}
    with pytest.raises(CommandFailed) as caught, named_options(options, sweep_body.of_options(options)):
        raise InvalidInput(422, problem)
    assert str(caught.value) == message


def sweep(*states: str) -> SweepDetail:
    """A sweep with a point in each of these states."""
    measured = {f"perplexity:{name}": {"value": 15.0} for name in ("c4:validation", "wiki-sample:test")}
    table = [
        {
            "position": position,
            "values": {"/recipe/preset": f"preset {position}"},
            "text": f"preset {position}",
            "job_id": f"job {position}",
            "state": state,
            "pattern": "50 %",
            "recipe": "wanda",
            "figures": {"sparsity": {"value": 0.5}} | measured if state == "succeeded" else {},
            "error": {"code": "internal", "detail": "the disk is full", "retryable": True} if state == "failed" else None,
        }
        for position, state in enumerate(states)
    ]
    return SweepDetail.model_validate(
        {
            "id": "1",
            "state": "running",
            "model": "org/model",
            "spec": {"template": TEMPLATE},
            "jobs": {state: states.count(state) for state in states},
            "points": len(states),
            "created_at": datetime.now(UTC),
            "dense": {"perplexity:c4:validation": {"value": 12.0}},
            "table": table,
        }
    )


def test_a_table_has_a_column_for_each_data_set_and_ratios_where_the_dense_model_was_measured() -> None:
    columns, [row] = points_table(found := sweep("succeeded"), found.table)
    assert columns == [
        "#>",
        "point",
        "state",
        "perplexity on c4:validation>",
        "perplexity on wiki-sample:test>",
        "sparsity>",
        "*",
    ]
    assert row == ["0", "preset 0", "succeeded", "15.00 (1.250×)", "15.00", "50.0 %", ""]
    assert titles(["perplexity:c4:validation", "seconds"]) == ["perplexity", "time"]


def test_a_long_table_is_shown_around_its_first_unfinished_point() -> None:
    found = sweep(*["succeeded"] * 120, "running", *["queued"] * 79)
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=24, color_system=None)
    with screen.capture() as captured:
        screen.print(_rendered(found, 24 - 7))
    lines = captured.get().splitlines()
    assert len(lines) <= 24
    assert any("preset 120" in line and "running" in line for line in lines)
    assert "running: 79 queued, 1 running, 120 succeeded" in lines[-1]


def test_an_event_is_one_line() -> None:
    data = {"position": 1, "values": {"/recipe/preset": "preset 1"}, "job_id": "job 1", "state": "failed"}
    assert news(Event(3, "point_ended", data), sweep("succeeded", "failed")) == "point 1 (preset 1) failed: the disk is full"
    assert news(Event(4, "of a newer service", {}), sweep("succeeded")) is None


def test_every_outcome_has_an_exit_status() -> None:
    assert EXIT_STATUS.keys() == ENDED
