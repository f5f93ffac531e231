"""Zero-shot tasks of a checkpoint, held against lm-evaluation-harness run by hand on the same files."""

import ast
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import evaluate
import lm_eval
import pytest
import torch
import yaml
from lm_eval.tasks import TaskManager

from service.contract.failures import FailureCode
from service.contract.spec import EvaluationSpec
from tests.support import checkpoints
from tests.support import lm_eval_tasks as made_up_tasks
from tests.support.tiny_model import save_model
from worker.evaluation.quality import Quality
from worker.evaluation.task_results import TaskResult, results_of
from worker.evaluation.tasks import catalogue, generated_text, harness, stage
from worker.evaluation.tasks.catalogue import Catalogue
from worker.evaluation.tasks.stage import Progress, Tasks, measure_tasks, open_tasks, run_tasks
from worker.failures import JobFailure
from worker.process.limited_child import Limits


class Reports:
    """A reporter without a database, which may stop the run at some progress."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.ticks = 0
        self.seen: list[tuple[int, int, str]] = []
        self._stop_at = stop_at

    def tick(self) -> None:
        self.ticks += 1

    def progress(self, done: int, total: int, unit: str) -> None:
        self.seen.append((done, total, unit))
        if done == self._stop_at:
            raise InterruptedError("enough")


@pytest.fixture(autouse=True)
def _index() -> Iterator[None]:
    with made_up_tasks.builtin_tasks_indexed_once():
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"), max_position_embeddings=512)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_up_tasks.write(tmp_path / "tasks")


def opened(model: Path, folder: Path | None, *, reports: Reports | None = None, **spec: Any) -> Tasks:
    settings = checkpoints.settings(model.parent / "stack", tasks_dir=folder, device="cpu")
    return open_tasks(model, EvaluationSpec.model_validate(spec), settings, reports or Reports())  # type: ignore[arg-type]


def measured(model: Path, folder: Path | None, reports: Reports | None = None, **spec: Any) -> list[TaskResult]:
    reports = reports or Reports()
    tasks = opened(model, folder, reports=reports, **spec)
    return run_tasks(model, tasks, device="cpu", watcher=Progress(reports, tasks.requests))  # type: ignore[arg-type]


def refused(model: Path, folder: Path | None, **spec: Any) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        opened(model, folder, **spec)
    return caught.value


def by_hand(model: Path, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    monkeypatch.chdir(folder)  # where the plain harness looks for the files that its tasks name
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model)},
        tasks=[name],
        batch_size=harness.BATCH_SIZE,
        device="cpu",
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        **options,
    )
    return dict(found)


def figures(result: TaskResult) -> dict[str, float | None]:
    """As the harness writes them."""
    pairs = result.metrics.items()
    values: dict[str, float | None] = {f"{name},none": metric.value for name, metric in pairs}
    return values | {f"{name}_stderr,none": metric.standard_error for name, metric in pairs}


@pytest.mark.parametrize(
    ("name", "asked", "options"),
    [
        ("arc_easy", {}, {}),
        ("winogrande", {"task_limit": 7}, {"limit": 7}),
        ("shown", {"few_shot": 2}, {"num_fewshot": 2}),
        ("shown", {"few_shot": 3, "task_limit": 5}, {"num_fewshot": 3, "limit": 5}),
    ],
)
def test_results_match_the_harness_run_directly(
    model: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    asked: dict[str, Any],
    options: dict[str, Any],
) -> None:
    [result] = measured(model, folder, tasks=[name], **asked)
    oracle = by_hand(model, folder, name, monkeypatch, **options)

    assert figures(result) == {key: value for key, value in oracle["results"][name].items() if "," in key}
    assert result.samples == options.get("limit", 12) == oracle["n-samples"][name]["effective"]
    assert (result.few_shot, result.version) == (options.get("num_fewshot", 0), "1.0")
    assert result.harness == lm_eval.__version__


@pytest.mark.parametrize(
    ("name", "asked", "options"),
    [("arc_easy", {}, {}), ("shown", {"few_shot": 3, "task_limit": 5}, {"num_fewshot": 3, "limit": 5})],
)
def test_the_task_hash_covers_what_the_harness_sends(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, asked: dict[str, Any], options: dict[str, Any]
) -> None:
    [facts] = opened(model, folder, tasks=[name], **asked).facts
    samples = by_hand(model, folder, name, monkeypatch, log_samples=True, **options)["samples"][name]
    given = [arguments for sample in samples for arguments in sample["arguments"]]
    written = "".join(json.dumps([context, answer], ensure_ascii=False) + "\n" for context, answer in given)

    assert (facts.task, facts.questions) == (name, options.get("limit", 12))
    assert facts.sha256 == hashlib.sha256(written.encode()).hexdigest()
    [other] = opened(model, folder, tasks=[name], task_limit=4).facts
    assert other.sha256 != facts.sha256


def test_task_results_are_independent_of_other_tasks_and_runs(model: Path, folder: Path) -> None:
    names = ["winogrande", "shown", "arc_easy"]
    together = measured(model, folder, tasks=names, few_shot=2)
    assert [result.task for result in together] == names
    assert together == [measured(model, folder, tasks=[name], few_shot=2)[0] for name in names]
    tasks = opened(model, folder, tasks=names, few_shot=2)
    twice = [run_tasks(model, tasks, device="cpu", watcher=Progress(Reports(), 0)) for _ in range(2)]  # type: ignore[arg-type]
    assert twice == [together, together]


def test_progress_counts_every_request_and_can_stop_the_run(model: Path, folder: Path) -> None:
    reports = Reports()
    measured(model, folder, reports, tasks=["arc_easy", "winogrande"])
    total = 12 * 4 + 12 * 2
    assert reports.seen == [(done, total, "requests") for done in range(1, total + 1)]
    assert reports.ticks > total / harness.BATCH_SIZE

    with pytest.raises(InterruptedError, match="enough"):
        measured(model, folder, stopping := Reports(stop_at=20), tasks=["arc_easy", "winogrande"])
    assert len(stopping.seen) == 20


def test_the_tokens_of_all_requests_are_counted(model: Path, folder: Path) -> None:
    """Of this tokenizer each byte is one."""
    tasks = opened(model, folder, tasks=["arc_easy"], task_limit=3)
    rows = [yaml.safe_load(line) for line in (folder / "arc_easy.jsonl").read_text().splitlines()[:3]]
    texts = [f"{row['query']}\nAnswer: {choice}" for row in rows for choice in row["choices"]]
    assert (tasks.requests, tasks.tokens) == (12, sum(map(len, texts)))


def test_an_unknown_task_is_reported_with_similar_names(model: Path, folder: Path) -> None:
    failure = refused(model, folder, tasks=["arc_easy", "winogrand"])
    assert failure.code is FailureCode.TASK_NOT_FOUND
    assert "has no task winogrand, and neither has DSNOT_TASKS_DIR. Did you mean winogrande" in failure.detail


def test_data_missing_offline_are_reported_before_the_run(model: Path, folder: Path) -> None:
    with made_up_tasks.without_hub():
        failure = refused(model, folder, tasks=["arc_challenge"])
    assert failure.code is FailureCode.TASK_DATA_UNAVAILABLE
    assert "data of the task arc_challenge could not be read" in failure.detail
    assert "DSNOT_TASKS_DIR" in failure.detail
    assert failure.code.retryable


def test_a_custom_task_without_its_file_names_the_expected_path(model: Path, folder: Path) -> None:
    (folder / "winogrande.jsonl").unlink()
    failure = refused(model, folder, tasks=["winogrande"])
    assert failure.code is FailureCode.TASK_DATA_UNAVAILABLE
    assert "its data_files must be in the same folder" in failure.detail
    assert str(folder) not in failure.detail


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"unsafe_code": True}, FailureCode.TASK_UNSUPPORTED, "runs code that a model has written"),
        ({"doc_to_image": "query"}, FailureCode.TASK_UNSUPPORTED, "pictures or sound"),
        ({"metric_list": [{"metric": "rare", "aggregation": "mean", "higher_is_better": True}]}, "task-unsupported", "(rare)"),
        ({"test_split": "absent"}, FailureCode.TASK_UNSUPPORTED, "cannot be set up on this worker (KeyError)"),
        ({"doc_to_text": "{{nonsense}}" + "long " * 200, "doc_to_choice": "{{no}}"}, "task-unsupported", "cannot be set up"),
        (
            {"output_type": "generate_until", "doc_to_choice": None, "generation_kwargs": {"max_gen_toks": 600}},
            "task-unsupported",
            "has the model generate 600 tokens, and the model takes 512",
        ),
    ],
)
def test_errors_are_detected_before_the_run(model: Path, folder: Path, changes: dict[str, Any], code: str, words: str) -> None:
    made_up_tasks.add(folder, "odd", **changes)
    failure = refused(model, folder, tasks=["odd"])
    assert failure.code == code, failure.detail
    assert words in failure.detail
    assert not failure.code.retryable


def test_a_limit_beyond_the_examples_is_a_user_error(model: Path, folder: Path) -> None:
    failure = refused(model, folder, tasks=["shown"], few_shot=5)
    assert failure.code is FailureCode.INVALID_REQUEST
    assert "The task shown has fewer than 5 examples to show" in failure.detail


def test_a_tokenizer_incompatible_with_the_harness_is_reported(tmp_path: Path, folder: Path) -> None:
    failure = refused(save_model(tmp_path / "model"), folder, tasks=["arc_easy"])
    assert failure.code is FailureCode.TASK_UNSUPPORTED
    assert "leave out evaluation.tasks" in failure.detail


def test_a_tokenizer_that_makes_its_library_panic_is_refused(tmp_path: Path, folder: Path) -> None:
    failure = refused(checkpoints.with_panicking_tokenizer(tmp_path / "model"), folder, tasks=["arc_easy"])
    assert failure.code is FailureCode.MODEL_UNSAFE
    assert "config or tokenizer" in failure.detail


def test_a_decoder_with_a_pattern_reads_no_generated_text(model: Path, folder: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(model, tmp_path / "model"))
    tokenizer = json.loads((changed / "tokenizer.json").read_text())
    slow = {"type": "Replace", "pattern": {"Regex": "a*a*a*[bc]"}, "content": ""}
    tokenizer["decoder"] = {"type": "Sequence", "decoders": [tokenizer["decoder"], slow]}
    (changed / "tokenizer.json").write_text(json.dumps(tokenizer))
    made_up_tasks.add(folder, "writes", **GENERATES, generation_kwargs={"until": ["\n"], "max_gen_toks": 8}, metric_list=[EXACT])
    failure = refused(changed, folder, tasks=["writes"])
    assert failure.code is FailureCode.TASK_UNSUPPORTED
    assert "regular expression" in failure.detail
    assert opened(model, folder, tasks=["writes"]).requests == opened(changed, folder, tasks=["arc_easy"]).requests / 4


def test_text_on_which_a_filter_never_ends_costs_the_task_not_the_process(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_SCORING", Limits(seconds=1))
    endless = {"name": "endless", "filter": [{"function": "regex", "regex_pattern": "(?:.|.|.)*\n\n"}]}
    settings = {"until": ["\n"], "max_gen_toks": 48}
    made_up_tasks.add(folder, "writes", **GENERATES, generation_kwargs=settings, metric_list=[EXACT], filter_list=[endless])
    with pytest.raises(JobFailure) as caught:
        measured(model, folder, tasks=["writes"])
    assert caught.value.code is FailureCode.TASK_UNSUPPORTED
    begin, end = "What the model answers in the task writes takes more than 1 s", "Leave the task out of evaluation.tasks."
    assert caught.value.detail.startswith(begin)
    assert caught.value.detail.endswith(end)


def test_generated_text_is_scored_as_by_the_harness(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"until": ["\n"], "max_gen_toks": 24}
    metric = {"metric": "chrf", "aggregation": "chrf", "higher_is_better": True}
    options = GENERATES | {"doc_to_target": "p_]p Xg a V"}  # as the random model happens to write
    made_up_tasks.add(folder, "writes", **options, generation_kwargs=settings, metric_list=[metric])
    [result] = measured(model, folder, tasks=["writes"])
    assert figures(result).items() <= by_hand(model, folder, "writes", monkeypatch)["results"]["writes"].items()
    assert result.metrics["chrf"].value > 0


def test_a_model_that_exceeds_memory_is_reported_with_the_bytes(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 1000}))
    failure = refused(model, folder, tasks=["arc_easy"])
    assert failure.code is FailureCode.OUT_OF_HOST_MEMORY
    assert "Leave out evaluation.tasks" in failure.detail


def test_a_settings_file_is_not_a_task_name(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself would read it, were it handed on: `arc_easy.yaml` lies in the current folder."""
    monkeypatch.chdir(folder)
    spec = EvaluationSpec.model_construct(tasks=["arc_easy.yaml"], task_limit=None, few_shot=None)
    settings = checkpoints.settings(model.parent / "stack", tasks_dir=None, device="cpu")
    with pytest.raises(JobFailure, match=r"has no task arc_easy\.yaml"):
        open_tasks(model, spec, settings, Reports())  # type: ignore[arg-type]


def test_a_task_that_downloads_code_is_refused(model: Path, folder: Path) -> None:
    before = evaluate.load
    (folder / "fetching.py").write_text("import evaluate\nmetric = evaluate.load('code_eval')\ndef text(doc):\n    return ''\n")
    made_up_tasks.add(folder, "fetches")
    with (folder / "fetches.yaml").open("a") as file:
        file.write("doc_to_text: !function fetching.text\n")
    failure = refused(model, folder, tasks=["fetches"])
    assert failure.code is FailureCode.TASK_UNSUPPORTED
    assert "would fetch code from the hub" in failure.detail
    assert evaluate.load is before


SCORER = """
from lm_eval.api.filter import Filter

def function(*arguments, **named):
    return {"acc": 0.0}

class Own(Filter):
    def apply(self, answers, documents):
        return answers
"""
GENERATES = {"output_type": "generate_until", "doc_to_choice": None, "doc_to_target": "gold"}
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
TAKEN = {"function": "take_first"}


@pytest.mark.parametrize(
    ("changes", "code", "is_safe"),
    [
        ({}, "", True),
        ({}, "process_results: !function scorer.function", True),
        (GENERATES | {"metric_list": [EXACT]}, "", True),
        (
            GENERATES
            | {
                "metric_list": [EXACT],
                "filter_list": [{"name": "n", "filter": [{"function": "regex", "regex_pattern": "a"}, TAKEN]}],
            },
            "",
            True,
        ),
        (GENERATES | {"metric_list": [EXACT]}, "process_results: !function scorer.function", False),
        (GENERATES, "metric_list: [{metric: !function scorer.function, aggregation: mean, higher_is_better: true}]", False),
        (
            GENERATES,
            "metric_list: [{metric: exact_match, aggregation: !function scorer.function, higher_is_better: true}]",
            False,
        ),
        (GENERATES | {"metric_list": [EXACT]}, "filter_list: [{name: n, filter: [{function: !function scorer.Own}]}]", False),
        (
            GENERATES | {"metric_list": [EXACT]},
            "filter_list: [{name: n, filter: [{function: custom, filter_fn: !function scorer.function}]}]",
            False,
        ),
    ],
)
def test_unreviewed_code_never_reads_generated_text_of_harness_tasks(
    folder: Path, tmp_path: Path, changes: dict[str, Any], code: str, is_safe: bool
) -> None:
    (folder / "scorer.py").write_text(SCORER)
    made_up_tasks.add(folder, "odd", **changes)
    text = (folder / "odd.yaml").read_text()
    if code.startswith("metric_list"):
        text = yaml.safe_dump({name: value for name, value in yaml.safe_load(text).items() if name != "metric_list"})
    (folder / "odd.yaml").write_text(f"{text}{code}\n")
    (task,) = Catalogue(["odd"], folder, tmp_path / "cache").load("odd", None)["tasks"].values()
    assert generated_text.is_scored_safely(task) is is_safe
    reasons = list(catalogue._reasons(task, is_own=False))
    assert any("scores text that the model has written with code of its own" in reason for reason in reasons) is not is_safe
    assert list(catalogue._reasons(task, is_own=True)) == [], "an operator's task runs the operator's code"


def test_reviewed_code_of_the_harness_evaluates_no_text() -> None:
    evaluating = {"eval", "exec", "compile", "parse_latex", "parse_expr", "sympify", "system", "Popen", "loads", "load"}
    for place in generated_text.REVIEWED:
        assert place.is_dir()
        for file in place.rglob("*.py") if place.parent.name == "tasks" else place.glob("*.py"):
            if place.name == "api" and file.stem not in ("metrics", "filter"):
                continue
            calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            names = {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}
            if file.stem == "metrics":
                names -= {"load"}  # of `evaluate`, which is refused
            assert not names & evaluating or names & evaluating == {"compile"}, file  # of regular expressions


def test_a_group_has_its_own_figures_and_those_of_its_tasks(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"dataset_kwargs": {"data_files": {"test": str(folder / "arc_easy.jsonl")}}}
    made_up_tasks.add(folder, "one", **files)
    made_up_tasks.add(folder, "two", **files)
    mean = {"metric": "acc", "aggregation": "mean", "weight_by_size": True}
    (folder / "both.yaml").write_text(yaml.safe_dump({"group": "both", "task": ["one", "two"], "aggregate_metric_list": [mean]}))

    found = {result.task: result for result in measured(model, folder, tasks=["both"], task_limit=6)}
    oracle = by_hand(model, folder, "both", monkeypatch, limit=6)

    assert set(found) == {"both", "one", "two"}
    assert found["both"].samples == 12
    assert found["both"].metrics["acc"].value == oracle["results"]["both"]["acc,none"]
    assert found["both"].metrics["acc"].standard_error == oracle["results"]["both"]["acc_stderr,none"]


def test_only_numbers_become_metrics_and_filters_stay_separate() -> None:
    row = {
        "alias": "math",
        "sample_len": 3,
        "exact_match,strict": 0.25,
        "exact_match_stderr,strict": "N/A",
        "exact_match,none": 0.5,
        "exact_match_stderr,none": 0.125,
        "broken,none": float("nan"),
        "text,none": "what?",
    }
    found = {"results": {"math": row, "empty": {"alias": "empty"}}, "versions": {"math": "Yaml"}, "n-shot": {"math": 5}}
    [result] = results_of(found, "1")
    assert result.model_dump() == {
        "task": "math",
        "version": None,
        "samples": 3,
        "few_shot": 5,
        "metrics": {
            "exact_match,strict": {"value": 0.25, "standard_error": None},
            "exact_match": {"value": 0.5, "standard_error": 0.125},
        },
        "harness": "1",
    }


def test_a_failure_is_a_warning_unless_the_gpu_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, settings = SimpleNamespace(baseline=False), SimpleNamespace(device="cuda:0")
    run: Any = SimpleNamespace(reporter=Reports(), spec=SimpleNamespace(evaluation=evaluation), settings=settings)

    class Panic(BaseException):
        """Like that of PyO3, which is no Exception either."""

    def measured(error: BaseException) -> list[str]:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(stage, "run_tasks", fail)
        return measure_tasks(run, Tasks([{}]), Quality(), dense=Path(), pruned=Path(), known={})[1]

    for error in (RuntimeError("x"), Panic("x")):
        (warning,) = measured(error)
        assert "could not be measured on the pruned model" in warning
    with pytest.raises(SystemExit):
        measured(SystemExit(1))
    with pytest.raises(torch.AcceleratorError):
        measured(torch.AcceleratorError("CUDA error: unspecified launch failure"))
