"""The sections of the new-job form: models are found, several patterns make a sweep, cards have figures, groups count changes."""

import json
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from playwright.sync_api import expect

from service.cli import job_body
from service.cli.jobs import app
from service.contract.efforts import EFFORTS
from service.contract.samples import SMALL_MODELS, SamplesSpec
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.browser.test_job_creation import name_model, request_of, unfold
from tests.support.dashboard_jobs import finished_job
from tests.support.job_examples import filled
from tests.support.tiny_model import save_model

REFUSALS = "the server responded with a status of 4"


def test_a_known_name_sets_the_source_and_another_one_is_of_the_hub(
    opened: Opening, settings: Settings, database: Database
) -> None:
    save_model(settings.model_root / "family" / "tiny", layers=2)
    made = str(finished_job(database, state=JobState.SUCCEEDED, model="org/model"))
    page = opened("/jobs/new", excused=REFUSALS)
    name, source = page.get_by_label("Name", exact=True), page.get_by_label("From", exact=True)
    name.fill("TINY")
    page.get_by_role("option", name="family/tiny").click()
    expect(name).to_have_value("family/tiny")
    expect(source).to_have_value("local")
    expect(page.locator("#inspection")).to_contain_text("LlamaForCausalLM")
    name.fill(made)
    expect(source).to_have_value("job")
    name.fill("org/another")
    expect(source).to_have_value("hub")
    source.select_option("local")
    name.fill("org/unknown")
    expect(source).to_have_value("local")  # as chosen by hand
    name.press("ArrowDown")
    name.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(name).to_have_value("org/unknown")


def test_several_patterns_make_a_sweep(opened: Opening, api: httpx.Client, settings: Settings) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs/new", excused=REFUSALS)
    name_model(page)
    page.get_by_label("Sparsity or pattern").fill("40 %, 0.5 2:4")
    expect(page.locator("#is-sweep")).to_contain_text("one job for each of 0.4, 0.5, 2:4")
    expect(page.locator("#plan")).to_contain_text("3 jobs")
    assert request_of(page) == {
        "template": {
            "model": {"id": "tiny", "source": "local"},
            "recipe": {"preset": "balanced"},
            "effort": "quick",
            "calibration": {"sequence_length": 64},
            "evaluation": {"sequence_length": 64},
        },
        "axes": {
            "/recipe/pattern": [
                {"type": "unstructured", "sparsity": 0.4},
                {"type": "unstructured", "sparsity": 0.5},
                {"type": "n:m", "n": 2, "m": 4},
            ]
        },
    }
    page.get_by_role("button", name="Create sweep of 3 jobs").click()
    page.wait_for_url(lambda address: "/sweeps/" in address)
    patterns = [job["spec"]["recipe"]["pattern"]["type"] for job in api.get("/v1/jobs").json()["items"]]
    assert sorted(patterns) == ["n:m", "unstructured", "unstructured"]


@pytest.mark.parametrize("text", ["", "1.5", "half", "0.4, 7", "4:2", "0.5, 0.5"])
def test_a_wrong_pattern_is_shown_at_its_field_and_creates_nothing(
    opened: Opening, api: httpx.Client, settings: Settings, text: str
) -> None:
    save_model(settings.model_root / "tiny", layers=2)
    page = opened("/jobs/new", excused=REFUSALS)
    name_model(page)
    pattern = page.get_by_label("Sparsity or pattern")
    pattern.fill(text)
    expect(pattern).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#failure")).to_contain_text("was not created")
    expect(pattern).to_be_focused()
    assert api.get("/v1/jobs").json()["items"] == []


def test_an_effort_fills_in_what_was_not_changed_by_hand(opened: Opening) -> None:
    page = opened("/jobs/new", excused=REFUSALS)
    unfold(page, "Calibration", "Evaluation")
    samples, windows = page.get_by_label("Samples", exact=True), page.get_by_label("Maximum windows")
    assert samples.input_value() == str(EFFORTS["quick"].calibration["num_samples"])
    samples.fill("7")
    windows.fill("")
    assert request_of(page)["evaluation"] == {"max_windows": None}
    page.get_by_role("radio", name="thorough").check()
    expect(samples).to_have_value("7")
    expect(page.get_by_label("Tokens per sample")).to_have_value("2048")
    expect(page.get_by_label("c4, validation")).to_be_checked()
    expect(page.get_by_label("wiki-sample, test")).not_to_be_checked()
    assert {name: request_of(page).get(name) for name in ("effort", "calibration", "evaluation")} == {
        "effort": "thorough",
        "calibration": {"num_samples": 7},
        "evaluation": None,
    }


def test_folded_groups_count_their_changed_fields(opened: Opening) -> None:
    page = opened("/jobs/new", excused=REFUSALS)
    changed = page.locator(".group .changed")
    assert changed.all_inner_texts() == [""] * 5
    unfold(page, "Recipe", "Calibration", "Evaluation", "Output", "Name and queue")
    page.get_by_label("Criterion").select_option("ria")
    page.get_by_label("Max swaps").fill("5")
    page.get_by_label("Samples", exact=True).fill("3")
    page.get_by_label("Measure speed and memory").check()
    page.get_by_label("Zero-shot tasks").fill("boolq")
    page.get_by_role("checkbox", name="packed").check()
    page.get_by_label("Labels").fill("team=search")
    expect(changed.last).to_have_text("1 changed")
    assert changed.all_inner_texts() == ["2 changed", "1 changed", "2 changed", "1 changed", "1 changed"]
    page.get_by_label("Samples", exact=True).fill("8")
    expect(changed.nth(1)).to_have_text("")


def test_cards_show_this_model_s_results_before_those_of_another(opened: Opening, database: Database) -> None:
    metrics = {
        "dense": {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": 20.0}]},
        "pruned": {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": 25.0}]},
        "seconds": {"pruning": 100.0, "evaluating": 20.0},
    }
    finished_job(database, model="org/known", spec=filled(recipe={"preset": "best"}), metrics=metrics)
    changed = {"preset": "fast", "refinement": {"max_swaps": 1}}
    finished_job(database, model="org/known", spec=filled(recipe=changed), metrics=metrics)
    nothing = metrics | {"pruned": {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": 0.0}]}}
    finished_job(database, model="org/known", spec=filled(recipe={"preset": "balanced"}), metrics=nothing)
    page = opened("/jobs/new", excused="the server responded with a status of")
    best, fast = page.locator('[data-figure="best"]'), page.locator('[data-figure="fast"]')
    expect(best).to_have_text("perplexity × 1.42")
    page.get_by_label("Name", exact=True).fill("org/known")
    expect(best).to_have_text("perplexity × 1.25, 2 min 0 s")
    expect(fast).to_have_text("perplexity × 1.84")  # the changed recipe is not the preset
    expect(page.locator('[data-figure="balanced"]')).to_have_text("perplexity × 1.62")
    expect(page.locator("#figures-from")).to_contain_text("SmolLM2-135M-Instruct on WikiText-2; the newest job of this model")
    page.get_by_label("Sparsity or pattern").fill("0.62")
    expect(fast).to_have_text("perplexity × 3.46 at 60 %")
    page.get_by_label("Sparsity or pattern").fill("1:8")
    expect(fast).to_be_hidden()


def test_a_job_without_a_preset_is_cloned_with_its_steps(opened: Opening, api: httpx.Client, database: Database) -> None:
    recipe = {"criterion": "wanda", "pattern": {"type": "n:m", "n": 2, "m": 4}}
    source = finished_job(database, spec=filled(recipe=recipe))
    page = opened(f"/jobs/new?from={source}", excused=REFUSALS)
    spec = api.get(f"/v1/jobs/{source}").json()["spec"]
    assert spec["recipe"]["preset"] is None
    assert JobSpec.model_validate(request_of(page)).model_dump(mode="json") == spec


def test_prompts_of_ones_own_are_sent_line_by_line(opened: Opening) -> None:
    page = opened("/jobs/new", excused="the server responded with a status of")
    page.get_by_label("Name", exact=True).fill("org/model")
    unfold(page, "Evaluation")
    assert "evaluation" not in request_of(page)
    chosen = page.get_by_label("Continued prompts")
    for name, wanted in (("none", None), ("five built-in prompts", {"max_weight_bytes": None})):
        chosen.select_option(label=name)
        assert request_of(page)["evaluation"] == {"samples": wanted}
    chosen.select_option(label="prompts of mine")
    page.get_by_label("Prompts", exact=True).fill("The sun\n\nOne, two,")
    assert request_of(page)["evaluation"] == {"samples": {"prompts": ["The sun", "One, two,"]}}
    chosen.select_option(label="five built-in prompts, models up to 1 GiB")
    page.locator('[name="/effort"][value="standard"]').check()
    assert JobSpec.model_validate(request_of(page)).evaluation.samples == SMALL_MODELS


def test_a_clone_keeps_name_and_prompts(opened: Opening, api: httpx.Client, database: Database) -> None:
    asked = {"prompts": ["a", "b"], "max_new_tokens": 7, "chat": True}
    source = finished_job(database, spec=filled(name="baseline", effort="quick", evaluation={"samples": asked}))
    page = opened(f"/jobs/new?from={source}", excused="the server responded with a status of")
    spec = api.get(f"/v1/jobs/{source}").json()["spec"]
    assert JobSpec.model_validate(request_of(page)).stored() == JobSpec.model_validate(spec).stored()
    unfold(page, "Evaluation")
    page.get_by_label("Prompts", exact=True).fill("c")
    changed = JobSpec.model_validate(request_of(page)).evaluation.samples
    assert changed == SamplesSpec(prompts=["c"], max_new_tokens=7, chat=True)


def test_gates_are_sent_line_by_line_and_an_error_names_its_line(opened: Opening) -> None:
    page = opened("/jobs/new", excused="the server responded with a status of")
    page.get_by_label("Name", exact=True).fill("org/model")
    unfold(page, "Evaluation")
    field = page.get_by_label("Quality gates")
    field.fill("perplexity:wiki-sample,at-most-increase=0.3\n\nat-most=40, judge-by=mean\ntask:arc_easy,at-least=.3")
    gates = [
        {"metric": "perplexity", "dataset": "wiki-sample", "at_most_increase": 0.3},
        {"at_most": 40, "judge_by": "mean"},
        {"metric": "task:arc_easy", "at_least": 0.3},
    ]
    assert request_of(page)["evaluation"] == {"require": gates}
    for line, detail in (
        ("top1_agreement", "gate 2: give exactly one bound for top1_agreement: at_least"),
        ("perplexity,at-most=low", "gate 2: must be a number"),
        ("perplexity,at-most", "gate 2: must be a number"),
        ("beauty,at-least=1", "gate 2: must be perplexity, kl_divergence, top1_agreement, or task:NAME, such as task:arc_easy"),
    ):
        field.fill(f"perplexity,at-most=40\n{line}")
        expect(page.locator(".error:visible")).to_contain_text(detail)


def test_a_clone_keeps_its_gates(opened: Opening, api: httpx.Client, database: Database) -> None:
    gates: list[dict[str, Any]] = [
        {"metric": "perplexity", "at_most": 40.0},
        {"metric": "kl_divergence", "at_most": 0.5, "judge_by": "mean"},
    ]
    source = finished_job(database, spec=filled(name="a", effort="quick", evaluation={"require": gates, "agreement_windows": 2}))
    page = opened(f"/jobs/new?from={source}", excused="the server responded with a status of")
    unfold(page, "Evaluation")
    lines = "perplexity,at-most=40\nkl_divergence,at-most=0.5,judge-by=mean"
    expect(page.get_by_label("Quality gates")).to_have_value(lines)
    spec = api.get(f"/v1/jobs/{source}").json()["spec"]
    assert JobSpec.model_validate(request_of(page)).stored() == JobSpec.model_validate(spec).stored()


@pytest.mark.parametrize("is_expressible", [True, False])
def test_the_command_makes_the_same_job_as_the_request(opened: Opening, tmp_path: Path, is_expressible: bool) -> None:
    page = opened("/jobs/new", excused="the server responded with a status of")
    page.get_by_label("Name", exact=True).fill("org/model")
    page.get_by_label("Sparsity or pattern").fill("2:4")
    unfold(page, "Recipe", "Calibration", "Evaluation", "Output", "Name and queue")
    page.get_by_label("Criterion").select_option("ria")
    page.get_by_label("Tokens per sample").fill("128")
    page.get_by_label("Tokens per window").fill("128")
    page.get_by_label("wiki-sample, train").check()
    page.get_by_label("Measure speed and memory").check()
    page.get_by_role("checkbox", name="packed").check()
    page.get_by_label("Labels").fill("team=search it's\nrun=1")
    page.get_by_label("Quality gates").fill("perplexity:wiki-sample,at-most-increase=0.3")
    if not is_expressible:
        page.get_by_label("Seed").fill("3")
    body = request_of(page)
    page.get_by_role("button", name="CLI").click()
    text = page.locator("#request").inner_text()
    command, _, given = text.partition(" <<'JSON'\n")
    assert bool(given) is not is_expressible
    words = shlex.split(command.replace("\\\n", " "))
    if given:
        file = tmp_path / "job.json"
        file.write_text(given.removesuffix("\nJSON").removesuffix("JSON"))
        words[words.index("-")] = str(file)
    assert words[:3] == ["dsnot", "jobs", "submit"]
    group: Any = typer.main.get_command(app)
    parsed = group.commands["submit"].make_context("submit", words[3:]).params
    made = job_body.of_options({name: (list(each) or None) if isinstance(each, tuple) else each for name, each in parsed.items()})
    assert JobSpec.model_validate(made) == JobSpec.model_validate(body)
    assert json.dumps(made["labels"], sort_keys=True) == json.dumps({"run": "1", "team": "search it's"})


def test_a_hub_model_that_cannot_be_reached_is_reported_and_the_sample_texts_are_chosen(opened: Opening) -> None:
    page = opened("/jobs/new", excused="the server responded with a status of")
    page.get_by_label("Name", exact=True).fill("org/model")
    expect(page.locator("#inspection")).to_contain_text("hub")
    expect(page.get_by_role("radio", name="quick")).to_be_checked()
    expect(page.locator(".card").filter(has_text="quick")).to_contain_text("no hub needed")


def test_a_job_that_failed_without_the_hub_is_cloned_with_the_sample_texts(
    opened: Opening, api: httpx.Client, database: Database
) -> None:
    error = {"code": "dataset-unavailable", "detail": "c4 could not be read.", "retryable": True}
    spec = filled(name="first", calibration={"seed": 3}, evaluation={"speed": True, "baseline": False, "agreement_windows": 0})
    failed = finished_job(database, state=JobState.FAILED, error=error, spec=spec, metrics=None)
    page = opened(f"/jobs/{failed}", excused="the server responded with a status of")
    page.get_by_role("link", name="Clone with sample texts").click()
    expect(page.locator("h1")).to_have_text("New job")
    texts = {"calibration": {"seed": 3}, "evaluation": {"speed": True, "baseline": False, "agreement_windows": 0}}
    assert JobSpec.model_validate(request_of(page)).model_dump(mode="json") == filled(name="first", effort="quick", **texts)
    other = finished_job(database, state=JobState.FAILED, error=error | {"code": "disk-full"}, metrics=None)
    page.goto(page.url.partition("/jobs")[0] + f"/jobs/{other}")
    expect(page.get_by_role("link", name="Clone", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Clone with sample texts")).to_have_count(0)
