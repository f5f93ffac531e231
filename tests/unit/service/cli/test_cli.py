"""The command line without a service: bodies, exit statuses, messages, quick start."""

import inspect
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.cli import job_body, job_views, watching
from service.cli.output import CommandFailed
from service.cli.submitting import submit
from service.cli.watching import EXIT_STATUS
from service.client import Event, Job
from service.contract.spec import JobSpec
from service.contract.states import TERMINAL_STATES
from service.embedded.processes import ServerError
from service.embedded.stack import running
from service.recipes.operations import describe
from tests.support.command_line import dsnot
from tests.support.job_examples import made_job
from tests.support.waiting import CEILING_SECONDS


@pytest.mark.parametrize(
    "path",
    [
        [],
        ["up"],
        ["jobs"],
        ["jobs", "submit"],
        ["jobs", "watch"],
        ["sweeps", "create"],
        ["artifacts", "download"],
        ["artifacts", "verify"],
        ["keys", "create"],
    ],
)
def test_help_is_printed_without_slow_imports(path: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from service.cli.__main__ import app\n"
        f"try: app({[*path, '--help']!r})\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'numpy', 'httpx', 'sqlalchemy', 'psycopg', 'alembic', 'fastapi'} & set(sys.modules)\n"
        "sys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=CEILING_SECONDS)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize("command", [["jobs", "list"], ["jobs", "show", "1"], ["keys", "list"], ["artifacts", "download", "1"]])
def test_without_a_service_one_sentence_states_the_remedy(command: list[str], tmp_path: Path) -> None:
    done = dsnot(tmp_path, *command)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "dsnot up" in done.stderr


def test_a_service_that_does_not_answer_is_named(tmp_path: Path) -> None:
    done = dsnot(tmp_path, "jobs", "list", DSNOT_URL="http://127.0.0.1:1", DSNOT_API_KEY="dsnot_a_b")
    assert done.returncode == 1
    assert "http://127.0.0.1:1 does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_standard_output_is_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service.cli", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=CEILING_SECONDS)
    assert (done.returncode, done.stderr) == (1, "dsnot: the output cannot be written: No space left on device\n")


def test_a_port_for_root_is_not_called_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.create_server", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "x")))
    with pytest.raises(ServerError, match="port 80 may be opened by root only"), running(tmp_path / "home", port=80):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jobs", "submit"], "no model given"),
        (["jobs", "submit", "m", "--sparsity", "0.5", "--pattern", "2:4"], "exclude each other"),
        (["jobs", "submit", "m", "--pattern", "two:four"], "n:m such as 2:4"),
        (["jobs", "submit", "m", "--label", "team"], "name=value"),
        (["keys", "create", "--name", "x", "--scope", "everything"], "there is no scope 'everything'"),
    ],
)
def test_wrong_usage_has_status_2_and_sends_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = dsnot(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"a": NaN}', "is not JSON: NaN"),
        ("[]", "is not a JSON object"),
        (None, "cannot be read: No such file"),
    ],
)
def test_an_unreadable_spec_file_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CommandFailed, match=rf"job\.json {message}"):
        job_body.read_spec(str(file))


def test_options_override_the_file_and_keep_the_rest() -> None:
    body: dict[str, Any] = {"model": {"id": "a", "revision": "v1"}, "recipe": {"criterion": "wanda"}, "labels": {"team": "x"}}
    for path, value in {
        "model.id": "b",
        "recipe.pattern": {"type": "n:m", "n": 2, "m": 4},
        "calibration.num_samples": None,
    }.items():
        job_body.put(body, path, value)
    assert body == {
        "model": {"id": "b", "revision": "v1"},
        "recipe": {"criterion": "wanda", "pattern": {"type": "n:m", "n": 2, "m": 4}},
        "labels": {"team": "x"},
    }


def _options(**given: Any) -> dict[str, Any]:
    """The values of all options of `dsnot jobs submit`, most of them not given."""
    return {name: given.get(name) for name in inspect.signature(submit).parameters}


def test_recipe_options_make_a_body_the_contract_accepts() -> None:
    body = job_body.of_options(
        _options(
            model="m",
            preset="balanced",
            criterion="ria",
            allocation="owl",
            objective="propagated",
            refinement="swaps",
            update="least_squares",
            sparsity=0.6,
            label=["team=x"],
            agreement_windows=0,
            formats=["packed", "dense"],
            hub_repo="org/sparse",
            hub_token="research",
            hub_public=True,
            mlflow_model="sparse",
            mlflow_alias="candidate",
        )
    )
    assert body == {
        "model": {"id": "m"},
        "recipe": {
            "preset": "balanced",
            "criterion": "ria",
            "allocation": "owl",
            "objective": "propagated",
            "pattern": {"type": "unstructured", "sparsity": 0.6},
            "refinement": {"method": "swaps"},
            "update": {"method": "least_squares"},
        },
        "effort": "quick",
        "evaluation": {"agreement_windows": 0},
        "output": {
            "formats": ["packed", "dense"],
            "hub": {"repo": "org/sparse", "token": "research", "private": False},
            "mlflow": {"registered_model": "sparse", "alias": "candidate"},
        },
        "labels": {"team": "x"},
    }
    JobSpec.model_validate(body)


@pytest.mark.parametrize(
    ("given", "file", "samples"),
    [
        ({"generate": True}, {}, {"max_weight_bytes": None}),
        ({"generate": False}, {"samples": {"chat": True}}, None),
        ({"prompts": ["One", "Two"]}, {}, {"prompts": ["One", "Two"]}),
        ({"prompts": ["One"]}, {"samples": {"max_new_tokens": 9}}, {"prompts": ["One"], "max_new_tokens": 9}),
        ({"prompts": ["One"], "generate": True}, {}, {"prompts": ["One"], "max_weight_bytes": None}),
    ],
)
def test_options_of_samples_are_merged_with_the_file(given: dict[str, Any], file: dict[str, Any], samples: Any) -> None:
    body = {"model": {"id": "m"}, "evaluation": {"perplexity": [], **file}}
    made = job_body.with_options(body, _options(**given))
    assert made["evaluation"] == {"perplexity": [], "samples": samples}
    JobSpec.model_validate(made)


def test_prompts_without_generation_are_refused() -> None:
    with pytest.raises(CommandFailed, match="--prompt and --no-generate exclude each other"):
        job_body.of_options(_options(model="m", prompts=["One"], generate=False))


def test_omitted_options_are_left_to_the_service() -> None:
    assert job_body.of_options(_options(model="m")) == {"model": {"id": "m"}, "effort": "quick"}
    with pytest.raises(CommandFailed, match="no model given; name one, or one in the file of --spec"):
        job_body.of_options(_options())


def test_a_job_from_a_file_has_the_effort_of_the_file_or_of_the_option(tmp_path: Path) -> None:
    (tmp_path / "plain.json").write_text(json.dumps({"model": {"id": "m"}}))
    (tmp_path / "named.json").write_text(json.dumps({"model": {"id": "m"}, "effort": "thorough"}))
    efforts = {
        (file, given): job_body.of_options(_options(spec=str(tmp_path / f"{file}.json"), effort=given)).get("effort")
        for file in ("plain", "named")
        for given in (None, "standard")
    }
    assert efforts == {
        ("plain", None): None,
        ("plain", "standard"): "standard",
        ("named", None): "thorough",
        ("named", "standard"): "standard",
    }


@pytest.mark.parametrize("field", ["preset", "effort", "criterion", "allocation", "objective", "refinement", "update", "formats"])
def test_the_help_names_everything_the_contract_accepts(field: str) -> None:
    shown = inspect.signature(submit).parameters[field].annotation.__metadata__[0].metavar.split("|")
    listed = describe()
    choices = listed.criteria if field == "criterion" else getattr(listed, f"{field.removesuffix('s')}s")
    assert shown == [choice.name for choice in choices]


def test_labels_of_options_and_file_are_merged() -> None:
    assert job_body.more_labels({"team": "x", "run": "1"}, ["run=2", "note=a=b"]) == {"team": "x", "run": "2", "note": "a=b"}
    assert job_body.more_labels("left to the service to refuse", []) is None


@pytest.mark.parametrize(
    ("sparsity", "groups", "expected"),
    [
        (0.7, None, {"type": "unstructured", "sparsity": 0.7}),
        (None, "2:4", {"type": "n:m", "n": 2, "m": 4}),
    ],
)
def test_a_pattern_is_one_the_contract_accepts(sparsity: float | None, groups: str | None, expected: dict[str, Any]) -> None:
    pattern = job_body.pattern(sparsity, groups)
    assert pattern == expected
    JobSpec.model_validate({"model": {"id": "m"}, "recipe": {"pattern": pattern}})


def test_without_options_the_preset_decides_the_pattern() -> None:
    assert job_body.pattern(None, None) is None


def test_every_terminal_state_has_an_exit_status() -> None:
    assert set(EXIT_STATUS) == TERMINAL_STATES


def test_a_running_job_shows_its_progress() -> None:
    progress = {"done": 12, "total": 30, "unit": "blocks", "eta_seconds": 60}
    assert job_views.how_far(made_job(state="running", stage="pruning", progress=progress)) == "running: pruning, 12 of 30 blocks"
    sent = {"done": 1_250_000, "total": 5_100_000_000, "unit": "bytes", "eta_seconds": 4.0}
    assert (
        job_views.how_far(made_job(state="running", stage="publishing", progress=sent))
        == "running: publishing, 1.25 MB of 5.1 GB"
    )
    assert job_views.how_far(made_job()) == "queued"
    assert job_views.how_far(made_job(state="succeeded", stage="publishing", progress=progress)) == "succeeded"


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({}, "wanda, then swaps, propagated (preset balanced)"),
        ({"criterion": "wanda"}, "wanda, then dsnot"),
        ({"refinement": {"method": "none"}, "criterion": "ria"}, "ria"),
        ({"preset": "fast"}, "wanda, then swaps (preset fast)"),
        ({"preset": "balanced", "allocation": "owl"}, "wanda, then swaps, owl, propagated (preset balanced)"),
        ({"preset": "best"}, "admm, propagated (preset best)"),
        ({"criterion": "obs", "update": {"method": "obs"}}, "obs, then obs"),
        (
            {"update": {"method": "admm", "mask": "given"}, "refinement": {"method": "swaps"}},
            "wanda, then swaps, then admm",
        ),
    ],
)
def test_a_recipe_in_one_line(recipe: dict[str, Any], text: str) -> None:
    assert job_views.recipe(made_job(recipe=recipe)) == text


def test_a_failed_job_shows_its_failure_and_whether_to_retry() -> None:
    error = {"code": "disk-full", "detail": "no space left", "retryable": True}
    assert job_views.failure(made_job(state="failed", error=error)) == "failed: no space left (disk-full; trying again may help)"


def test_metrics_show_both_perplexities(capsys: pytest.CaptureFixture[str]) -> None:
    def measured(value: float) -> dict[str, Any]:
        return {"perplexity": [{"dataset": "wiki-sample:test", "perplexity": value, "windows": 4, "tokens": 4092}]}

    job_views.print_metrics(
        {
            "dense": measured(17.25),
            "pruned": measured(29.125),
            "sparsity": 0.5,
            "seconds": {"pruning": 61.0, "evaluating": 9.5},
            "peak_memory_bytes": {"host": 1_200_000_000, "host_total": 2_000_000_000, "device": None},
            "bytes": 538_000_000,
        }
    )
    shown = capsys.readouterr().out
    for expected in ("wiki-sample:test", "17.25", "29.12", "50.00 %", "1 min 1 s", "1 min 10 s", "1.2 GB", "538 MB"):
        assert expected in shown


def test_tasks_are_shown_in_columns_with_their_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def measured(value: float, **more: Any) -> dict[str, Any]:
        return {"perplexity": [], "tasks": [{"task": "boolq", "metrics": {"acc": {"value": value, **more}}}]}

    metrics = {"dense": measured(0.625, standard_error=0.0213), "pruned": measured(0.5, standard_error=None), "sparsity": 0.5}
    job_views.print_metrics(metrics)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("acc on boolq")]
    assert line.split() == ["acc", "on", "boolq", "0.6250", "±", "0.0213", "0.5000"]
    event = Event(7, "evaluated", {"model": "pruned", **measured(0.5)})
    assert watching.news(event) == "pruned acc on boolq 0.5000"


def test_options_for_tasks_go_into_the_evaluation() -> None:
    given = dict.fromkeys(inspect.signature(submit).parameters) | {"model": "m", "tasks": ["boolq", "rte"], "task_limit": 200}
    evaluation = {"tasks": ["boolq", "rte"], "task_limit": 200, "few_shot": 0}
    assert job_body.of_options(given | {"few_shot": 0}) == {"model": {"id": "m"}, "effort": "quick", "evaluation": evaluation}


def test_a_model_needs_a_plain_name(tmp_path: Path) -> None:
    done = dsnot(tmp_path, "models", "import", str(tmp_path), "--name", "../outside")
    assert done.returncode == 2
    assert "'../outside' cannot be a model's name" in done.stderr


def test_json_is_one_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    from service.cli.output import print_json

    print_json({"text": "a\nb"})
    assert json.loads(capsys.readouterr().out) == {"text": "a\nb"}


def expected_job(**fields: Any) -> Job:
    moment = datetime.now(UTC)
    seconds = {"starts_at": 90, "ends_earliest_at": 500, "ends_at": 600, "ends_latest_at": 720}
    eta = {name: moment + timedelta(seconds=each) for name, each in seconds.items()} | {"basis_jobs": 3}
    facts = {"id": "1", "state": "queued", "spec": {}, "created_at": moment, "queue_position": 2, "eta": eta}
    return Job.model_validate(facts | fields)


def test_estimates_of_a_job_are_shown_where_known() -> None:
    queued = expected_job()
    assert job_views.expected(queued).startswith("place 2, starts ")
    assert ", ends " in job_views.expected(queued)
    assert watching.left(queued).startswith("place 2, starts in about 1 min ")
    nothing_known = expected_job(eta={"starts_at": None, "ends_at": None, "basis_jobs": 0})
    assert (job_views.expected(nothing_known), watching.left(nothing_known)) == ("place 2", "place 2")


def test_a_running_job_shows_one_estimate_of_the_whole_with_its_range() -> None:
    progress = {"done": 1, "total": 4, "unit": "blocks", "eta_seconds": 30.0}
    running = {"state": "running", "stage": "pruning", "progress": progress, "queue_position": None}
    assert watching.left(expected_job(**running)) == "about 10 min (8.3 to 12 min) left"
    assert re.fullmatch(r"ends .*\d\d:\d\d.* \(\d\d:\d\d to \d\d:\d\d\)", job_views.expected(expected_job(**running)))
    assert watching.left(expected_job(**running, eta=None)) == ""


def test_without_an_estimate_the_reason_is_shown_and_after_the_end_nothing() -> None:
    unknown = {"starts_at": None, "ends_at": None, "basis_jobs": 0, "note": "estimate after 2 blocks"}
    running = expected_job(state="running", stage="pruning", queue_position=None, eta=unknown)
    assert watching.left(running) == job_views.expected(running) == "estimate after 2 blocks"
    ended = expected_job(state="failed", stage="pruning", queue_position=None)
    assert watching.left(ended) == job_views.expected(ended) == ""


def test_the_time_taken_is_that_of_the_attempts() -> None:
    moment = datetime.now(UTC)
    begun = {"started_at": moment - timedelta(hours=9), "eta": None, "queue_position": None}
    paused = expected_job(**begun, state="paused", active_seconds=130.0)
    assert job_views.took(paused) == "2 min 10 s"
    resumed = expected_job(**begun, state="running", active_seconds=130.0, attempt_started_at=moment - timedelta(seconds=60.2))
    assert job_views.took(resumed) == "3 min 10 s"
    from_older_service = expected_job(**begun, state="succeeded", finished_at=moment)
    assert job_views.took(from_older_service) == "9 h 0 min"


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        (
            "perplexity:wiki-sample,at-most-increase=0.3",
            {"metric": "perplexity", "dataset": "wiki-sample", "at_most_increase": 0.3},
        ),
        ("perplexity:wiki-sample:test,at-most=40", {"metric": "perplexity", "dataset": "wiki-sample:test", "at_most": 40.0}),
        ("task:arc_easy, at-most-decrease=0.02", {"metric": "task:arc_easy", "at_most_decrease": 0.02}),
        ("at-most-increase=0.3,judge-by=mean", {"at_most_increase": 0.3, "judge_by": "mean"}),
    ],
)
def test_a_gate_is_written_as_metric_data_set_and_bound(text: str, gate: dict[str, Any]) -> None:
    assert job_body.of_options(_options(model="m", require=[text]))["evaluation"] == {"require": [gate]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("perplexity:wiki-sample", "has no bound; add one, such as"),
        ("perplexity,at-most", "'at-most' is no bound"),
        ("perplexity,at-most=low", "at-most must be a number such as 0.3, not 'low'"),
        ("perplexity,at-most=inf", "at-most must be a number such as 0.3, not 'inf'"),
        ("perplexity,at-most=nan", "at-most must be a number such as 0.3, not 'nan'"),
    ],
)
def test_a_gate_without_a_numeric_bound_is_refused(text: str, message: str) -> None:
    with pytest.raises(CommandFailed, match=message) as refused:
        job_body.of_options(_options(model="m", require=[text]))
    assert refused.value.exit_status == 2
