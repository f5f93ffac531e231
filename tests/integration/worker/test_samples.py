"""Samples of jobs, from the request to card and report, held against transformers run by hand."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from service.contract.samples import BUILT_IN, EQUIVALENT_TOKENS
from service.contract.states import JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.settings import Settings
from tests.support import checkpoints
from tests.support.job_rows import insert_job, job_row
from worker.attempt.runner import work
from worker.inputs import whole_models
from worker.run.progress import Reporter

PROMPTS = ["The sun", "One, two, three,"]
EVALUATION = {"perplexity": [], "samples": {"prompts": PROMPTS, "max_new_tokens": 12}}
HALF = {"pattern": {"type": "unstructured", "sparsity": 0.5}, "refinement": {"method": "none"}}


@pytest.fixture(autouse=True)
def model(settings: Settings) -> Path:
    return checkpoints.save(settings.model_root / "tiny", max_position_embeddings=256)


def done(settings: Settings, database: Database, *, sparsity: float = 0.5, **changes: Any) -> Job:
    recipe = HALF | {"pattern": {"type": "unstructured", "sparsity": sparsity}}
    job_id = insert_job(database, recipe=recipe, evaluation=EVALUATION | changes)
    assert work(settings, threading.Event())
    return job_row(database, job_id)


def samples_of(job: Job) -> dict[str, Any]:
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.metrics is not None
    found: dict[str, Any] = job.metrics["samples"]
    return found


def artifact(settings: Settings, job: Job) -> Path:
    return Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)


def by_hand(folder: Path, prompt: str, most: int = 12) -> tuple[str, int]:
    model, tokenizer = LlamaForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        new = model.generate(ids, do_sample=False, max_new_tokens=most, pad_token_id=0)[0, ids.shape[1] :]
    text = tokenizer.decode(new, skip_special_tokens=True)
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text), len(new)


def test_continuations_are_those_of_transformers_for_both_models(settings: Settings, database: Database, model: Path) -> None:
    job = done(settings, database)
    found = samples_of(job)
    assert [each["prompt"] for each in found["continuations"]] == PROMPTS
    for name, folder in {"dense": model, "pruned": artifact(settings, job)}.items():
        made = [(each[name]["text"], each[name]["tokens"]) for each in found["continuations"]]
        assert made == [by_hand(folder, prompt) for prompt in PROMPTS]
    assert found["prompts"] != "built-in"
    assert (found["max_new_tokens"], found["chat"], found["cached"]) == (12, False, False)


def test_a_model_without_zeros_writes_the_same(settings: Settings, database: Database) -> None:
    found = samples_of(done(settings, database, sparsity=0.0))
    assert (found["identical"], found["equal_share"]) == (2, 1.0)
    assert all(each["first_difference"] is None for each in found["continuations"])
    assert all(each["dense"] == each["pruned"] for each in found["continuations"])


def test_a_second_job_takes_the_dense_tokens_from_the_cache(settings: Settings, database: Database) -> None:
    first, second = (done(settings, database) for _ in range(2))
    before, after = samples_of(first), samples_of(second)
    assert after == before | {"cached": True}
    assert first.work is not None
    assert second.work is not None
    generated = len(PROMPTS) * 12 * EQUIVALENT_TOKENS
    assert (first.work["evaluated_tokens"], second.work["evaluated_tokens"]) == (2 * generated, generated)
    longer = samples_of(done(settings, database, samples={"prompts": PROMPTS, "max_new_tokens": 13}))
    assert not longer["cached"]


def test_a_run_stopped_while_it_generates_gives_the_same_samples_later(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = samples_of(done(settings, database))
    for path in (settings.cache_dir / "baselines").iterdir():
        path.unlink()
    stop, progress = threading.Event(), Reporter.progress

    def stop_at_tokens(reporter: Reporter, done: int, total: int, unit: str) -> None:
        if unit == "tokens" and done == 27:  # in the pruned model's first continuation
            stop.set()
        progress(reporter, done, total, unit)

    job_id = insert_job(database, evaluation=EVALUATION, recipe=HALF)
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "progress", stop_at_tokens)
        assert work(settings, stop)
    assert job_row(database, job_id).state == JobState.QUEUED
    assert work(settings, threading.Event())
    assert samples_of(job_row(database, job_id)) == undisturbed | {"cached": True}


def test_card_and_report_have_the_samples(settings: Settings, database: Database) -> None:
    folder = artifact(settings, done(settings, database))
    card, report = (folder / "README.md").read_text(), (folder / "report.html").read_text()
    assert "## Samples" in card
    assert card.count("Prompt: *") == report.count('class="sample"') == len(PROMPTS)
    assert "<h2>Samples</h2>" in report


def test_an_effort_lets_both_models_continue_five_built_in_prompts(settings: Settings, database: Database) -> None:
    job_id = insert_job(database, effort="quick", evaluation={"perplexity": []})
    assert work(settings, threading.Event())
    found = samples_of(job_row(database, job_id))
    assert [each["prompt"] for each in found["continuations"]] == list(BUILT_IN[:5])
    assert found["prompts"] == "built-in"


@pytest.mark.parametrize("samples", [None, {"max_weight_bytes": 1000}])
def test_no_samples_are_taken_without_request_or_of_larger_models(
    settings: Settings, database: Database, samples: dict[str, Any] | None
) -> None:
    job = done(settings, database, samples=samples)
    assert samples_of(job) is None
    assert job.metrics is not None
    assert job.metrics["warnings"] == []
    assert "## Samples" not in (artifact(settings, job) / "README.md").read_text()


def test_without_a_baseline_only_the_pruned_model_writes(settings: Settings, database: Database) -> None:
    found = samples_of(done(settings, database, baseline=False))
    assert [each["dense"] for each in found["continuations"]] == [None, None]
    assert (found["identical"], found["equal_share"], set(found["repetition"])) == (None, None, {"pruned"})


def test_a_model_beyond_the_memory_gets_a_warning_instead(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_models, "free_memory", lambda: 1000)
    job = done(settings, database)
    assert samples_of(job) is None
    assert job.metrics is not None
    [warning] = job.metrics["warnings"]
    assert warning.startswith("the samples could not be generated: Loading the whole model needs too much memory:")


def test_a_generation_that_fails_is_a_warning_and_the_model_is_published(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TypeError("no cache of this kind")

    monkeypatch.setattr(LlamaForCausalLM, "generate", fail)
    job = done(settings, database)
    assert samples_of(job) is None
    assert job.metrics is not None
    assert job.metrics["warnings"] == ["the samples could not be generated: transformers failed (TypeError)"]
    assert (artifact(settings, job) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "the model's tokenizer has no chat template"),
        ("{{ messages[0].content.nothing() }}", "the model's chat template fails (UndefinedError)"),
        ("{{ raise_exception('no') }}", "the model's chat template fails (TemplateError)"),
    ],
)
def test_a_chat_without_a_working_template_is_refused_before_the_pruning(
    settings: Settings, database: Database, model: Path, template: str | None, said: str
) -> None:
    if template:
        (model / "chat_template.jinja").write_text(template)
    job = done(settings, database, samples={"prompts": PROMPTS, "chat": True})
    assert job.error == {
        "code": "invalid-request",
        "detail": f"evaluation.samples.chat is true, but {said}; set it to false.",
        "retryable": False,
    }
    assert job.stage == "loading"


def test_a_chat_is_rendered_by_the_template(settings: Settings, database: Database, model: Path) -> None:
    messages = "{% for each in messages %}[{{ each.role }}] {{ each.content }}\n{% endfor %}"
    (model / "chat_template.jinja").write_text(messages + "{% if add_generation_prompt %}[bot]{% endif %}")
    found = samples_of(done(settings, database, samples={"prompts": PROMPTS, "max_new_tokens": 12, "chat": True}))
    made = [(each["dense"]["text"], each["dense"]["tokens"]) for each in found["continuations"]]
    assert made == [by_hand(model, f"[user] {prompt}\n[bot]") for prompt in PROMPTS]
    assert found["chat"]


def test_a_prompt_longer_than_the_context_is_refused_by_its_number(settings: Settings, database: Database) -> None:
    job = done(settings, database, samples={"prompts": ["short", "x" * 256]})
    assert job.error is not None
    assert job.error["code"] == "invalid-request"
    assert job.error["detail"].startswith("evaluation.samples: prompt 2 has 256 tokens, and the model takes 256")


def test_an_effort_omits_samples_with_a_warning_if_the_context_is_too_short(settings: Settings, database: Database) -> None:
    checkpoints.save(settings.model_root / "tiny", max_position_embeddings=32)
    job_id = insert_job(database, effort="quick", evaluation={"perplexity": []})
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert samples_of(job) is None
    assert job.metrics is not None
    [warning] = job.metrics["warnings"]
    assert warning.startswith("the samples could not be generated: evaluation.samples: prompt 1 has ")


def test_a_continuation_ends_with_the_context(settings: Settings, database: Database) -> None:
    [found] = samples_of(done(settings, database, samples={"prompts": ["x" * 250], "max_new_tokens": 20}))["continuations"]
    assert found["dense"]["tokens"] <= 6
