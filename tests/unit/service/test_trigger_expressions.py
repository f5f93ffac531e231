"""Expressions and templates of triggers: what they find, and that none costs too much."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.triggers import templates
from service.triggers.expressions import BadExpression, Evaluator, parse

TRIGGER = UUID(int=1)
DOCUMENT: dict[str, Any] = {"event": {"id": "1"}, "data": {"name": "a/b", "n": 16, "on": True, "none": None, "refs": ["x", "y"]}}


def filled(**fields: Any) -> dict[str, Any]:
    template = {"model": {"id": "a/b"}} | fields
    templates.check(template, TRIGGER, "job")
    return templates.fill(template, Evaluator(DOCUMENT), TRIGGER, "job").model_dump(mode="json")


def test_a_single_placeholder_keeps_the_type_of_its_value() -> None:
    body = filled(
        model={"id": "${{ data.name }}"}, calibration={"num_samples": "${{data.n}}"}, evaluation={"baseline": "${{ data.on }}"}
    )
    assert (body["model"]["id"], body["calibration"]["num_samples"], body["evaluation"]["baseline"]) == ("a/b", 16, True)


def test_within_a_text_values_are_inserted_as_text() -> None:
    body = filled(labels={"about": "${{ data.name }} ${{ data.n }} ${{ data.on }}"})
    assert body["labels"]["about"] == "a/b 16 true"


@pytest.mark.parametrize("text", ["${{ data.none }}", "x ${{ data.missing }}", "x ${{ data.refs }}", "x ${{ data }}"])
def test_missing_and_non_text_values_are_refused_with_a_pointer(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        filled(labels={"about": text})
    assert caught.value.errors is not None
    assert caught.value.errors[0]["pointer"] == "/labels/about"


DOUBLINGS = [
    " | ".join(["data.refs", *["[@, @][]"] * 100]),
    " | ".join(["data", *["[@, @]"] * 100, "to_string(@)"]),
    " | ".join(["data.name", *["join('', [@, @])"] * 50]),
    " | ".join(["data.refs", *["[*].[@, @][]"] * 70]),
]


@pytest.mark.parametrize("text", DOUBLINGS)
def test_an_expression_with_exponential_growth_is_stopped(text: str) -> None:
    with pytest.raises(BadExpression):
        Evaluator(DOCUMENT).value(parse(text))


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "is not a valid JMESPath expression: it is empty"),
        ("data.", "is not a valid JMESPath expression: it ends too early"),
        ("data.#", "is not a valid JMESPath expression: character 6 cannot stand there"),
        ("data]", "is not a valid JMESPath expression: character 5 cannot stand there"),
        ("length()", "cannot be evaluated: length() takes 1 argument(s), not 0"),
        ("join(',')", "cannot be evaluated: join() takes 2 argument(s), not 1"),
        ("merge()", "cannot be evaluated: merge() takes at least 1 argument(s), not 0"),
        ("abs(data.name)", "cannot be evaluated: abs() takes number, not string"),
        ("length(data.n)", "cannot be evaluated: length() takes string or array or object, not number"),
        ("data.refs[::0]", "cannot be evaluated: its values do not fit its operations"),
    ],
)
def test_a_refusal_says_what_is_wrong_in_words_of_ours(text: str, flaw: str) -> None:
    with pytest.raises(BadExpression) as refused:
        Evaluator(DOCUMENT).value(parse(text))
    assert str(refused.value) == flaw


@given(st.text(max_size=60) | st.text("abdt.|[]@*&!`'(){}:, 0159<=>?", max_size=40))
def test_any_expression_gives_json_or_is_refused(text: str) -> None:
    try:
        Evaluator(DOCUMENT).value(parse(text))
    except BadExpression as error:
        assert str(error)  # noqa: PT017


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["${{" * 21_000, "${{ " * 20_000 + "}", "${{ data.n }}" * 40 + "${{" * 20_000])
def test_unterminated_placeholders_are_refused_after_one_pass(text: str) -> None:
    with pytest.raises(InvalidInput, match="unterminated placeholder"):
        templates.check({"model": {"id": "a/b"}, "labels": {"about": text}}, TRIGGER, "job")


@pytest.mark.timeout(20)
def test_filling_in_a_long_text_takes_one_pass() -> None:
    with pytest.raises(InvalidInput, match="unterminated placeholder"):
        templates.fill({"model": {"id": "a/b"}, "labels": {"about": "${{" * 21_000}}, Evaluator(DOCUMENT), TRIGGER, "job")


def test_no_more_expressions_are_parsed_than_a_template_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(templates, "parse", parsed.append)
    with pytest.raises(InvalidInput, match="more than 64 placeholders"):
        templates.check({"model": {"id": "a/b"}, "labels": {"about": "${{ data.n }}" * 5000}}, TRIGGER, "job")
    assert len(parsed) <= 64


def test_text_after_a_placeholder_is_never_part_of_its_expression() -> None:
    assert filled(labels={"about": "${{ data.n }} }}"})["labels"]["about"] == "16 }}"


def test_a_job_with_a_placeholder_as_its_model_is_checked_by_the_rules_about_several_fields() -> None:
    text = {"dataset": "wiki-sample:test"}
    with pytest.raises(InvalidInput) as caught:
        filled(model={"id": "${{ data.name }}"}, calibration=text, evaluation={"perplexity": ["wiki-sample:test"]})
    assert str(caught.value).startswith("/template/evaluation/perplexity: overlaps")


MODEL: dict[str, Any] = {"id": "${{ data.name }}", "revision": "${{ data.missing }}"}
GRID: dict[str, Any] = {"template": {"model": MODEL, "labels": {"of": "ours"}}, "axes": {"/recipe/preset": ["fast", "best"]}}
SEARCH: dict[str, Any] = {
    "template": {"model": MODEL, "evaluation": {"perplexity": ["wiki-sample"]}},
    "target": {"at_most_increase": 0.05},
    "over": {"sparsity": [0.2, 0.8]},
}


def test_placeholders_may_be_anywhere_in_a_sweep() -> None:
    body = {
        "name": "of ${{ data.name }}",
        "template": {"model": {"id": "${{ data.name }}"}, "calibration": "${{ {num_samples: data.n} }}"},
        "axes": {"/calibration/sequence_length": ["${{ data.n }}", 64], "/recipe/preset": "${{ ['fast', 'best'] }}"},
    }
    templates.check(body, TRIGGER, "sweep")
    made = templates.fill(body, Evaluator(DOCUMENT), TRIGGER, "sweep").model_dump(mode="json")
    assert made["name"] == "of a/b"
    assert made["axes"] == {"/calibration/sequence_length": [16, 64], "/recipe/preset": ["fast", "best"]}
    assert made["template"]["calibration"] == {"num_samples": 16}
    assert made["template"]["labels"] == {"dsnot/trigger": str(TRIGGER)}


@pytest.mark.parametrize("body", [GRID, SEARCH, GRID | {"axes": {"/model/id": ["${{ data.name }}", "c/d"]}}])
def test_a_sweep_is_valid_whatever_its_placeholders_become(body: dict[str, Any]) -> None:
    templates.check(body, TRIGGER, "sweep")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"model": MODEL}, "/template/template"),
        (GRID | {"axes": {"/recipe/presett": ["fast"]}}, "/template/axes/~1recipe~1presett/0"),
        (GRID | {"axes": {"/recipe/preset": ["fast", "no such"]}}, "/template/axes/~1recipe~1preset/1"),
        (GRID | {"axes": {"/calibration/seed": list(range(201))}}, "/template/axes"),
        (GRID | {"template": {"model": MODEL, "modle": 1}}, "/template/template/modle"),
        (SEARCH | {"target": {"metric": "task:arc_easy", "at_least": 0.5}}, "/template/target/metric"),
        (SEARCH | {"template": {"model": MODEL, "evaluation": {"baseline": False}}}, "/template/template/evaluation/baseline"),
        (GRID | {"name": "${{ data. }}"}, "/template/name"),
        (GRID | {"axes": {"${{ data.n }}": [1]}}, "/template/axes/${{ data.n }}"),
    ],
)
def test_a_template_that_forms_no_sweep_is_refused_with_a_pointer(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        templates.check(body, TRIGGER, "sweep")
    assert pointer in {error["pointer"] for error in caught.value.errors or []}, caught.value.errors
