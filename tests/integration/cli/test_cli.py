"""The `dsnot` command against a real stack, as a user runs it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import dsnot
from tests.support.embedded_stack import Up, up
from tests.support.job_rows import SPEC
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually

_TINY = ["tiny", "--source", "local", "--dataset", "c4-sample:test", "--samples", "2", "--sequence-length", "16"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    home = tmp_path_factory.mktemp("cli-home")
    save_model(home / "models" / "tiny")
    with up(home) as running:
        yield running


@pytest.fixture(scope="module")
def done_job(stack: Up) -> dict[str, Any]:
    """A job that `dsnot jobs submit --watch` saw through."""
    done = dsnot(stack.home, "jobs", "submit", *_TINY, "--evaluate", "wiki-sample", "--label", "team=x", "--watch", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seq"] for line in lines[:-1]] == list(range(1, len(lines)))
    assert lines[-1]["type"] == "end"
    job: dict[str, Any] = lines[-1]["job"]
    return job


def _json(stack: Up, *arguments: str) -> Any:
    done = dsnot(stack.home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _json_lines(stack: Up, *arguments: str) -> list[Any]:
    done = dsnot(stack.home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_job_is_submitted_watched_and_shown(stack: Up, done_job: dict[str, Any]) -> None:
    assert done_job["state"] == "succeeded"
    assert done_job["labels"] == {"team": "x"}
    assert _json(stack, "jobs", "show", done_job["id"])["metrics"] == done_job["metrics"]
    assert done_job["id"] in [job["id"] for job in _json_lines(stack, "jobs", "list", "--label", "team=x")]
    assert _json_lines(stack, "jobs", "list", "--label", "team=nobody") == []
    assert _json_lines(stack, "jobs", "list", "--search", "TEAM=n", "--sort=-finished_at") == []
    assert done_job["id"] == _json_lines(stack, "jobs", "list", "--search", done_job["id"][:8], "--sort", "model")[0]["id"]


def test_a_missed_gate_has_an_exit_status_of_its_own(stack: Up) -> None:
    gates = ("--evaluate", "wiki-sample", "--require", "perplexity:wiki-sample,at-most=1")
    done = dsnot(stack.home, "jobs", "submit", *_TINY, *gates, "--watch")
    assert done.returncode == 4
    assert "missed: perplexity on wiki-sample:test at most 1 (up to" in done.stdout
    assert "gate missed: perplexity on wiki-sample:test at most 1" in done.stderr
    [job] = _json_lines(stack, "jobs", "list", "--limit", "1")
    assert (job["state"], job["gates_passed"]) == ("succeeded", False)
    refused = dsnot(stack.home, "jobs", "submit", *_TINY, "--require", "task:arc_easy,at-least=0.4")
    assert (refused.returncode, "--require task:arc_easy,at-least=0.4: the jobs do not measure" in refused.stderr) == (1, True)


def test_a_terminal_gets_tables(stack: Up, done_job: dict[str, Any]) -> None:
    listed = dsnot(stack.home, "jobs", "list")
    assert done_job["id"][:8] in listed.stdout
    shown = dsnot(stack.home, "jobs", "show", done_job["id"]).stdout
    for expected in ("succeeded", "perplexity on wiki-sample:test", "peak memory", "c4-sample:test", "team=x", "pruning"):
        assert expected in shown
    watched = dsnot(stack.home, "jobs", "watch", done_job["id"])
    assert watched.returncode == 0
    assert "succeeded" in watched.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsity", "1.0"], "--sparsity 1: must be less than 1"),
        (["--sparsity", "50"], "--sparsity 50: give a fraction between 0 and 1; did you mean 0.5?"),
        (["--pattern", "4:4"], "--pattern 4:4: must be smaller than m: 4:4 prunes nothing"),
        (["--criterion", "luck"], "--criterion luck: must be "),
        (["--dataset", "nowhere"], "--dataset nowhere: "),
        (["--evaluate", "wiki-sample", "--evaluate", "nowhere"], "--evaluate nowhere: "),
        (["--label", "-x=y"], "--label -x=y: "),
    ],
)
def test_bad_input_is_refused_with_the_option_at_fault(stack: Up, arguments: list[str], message: str) -> None:
    done = dsnot(stack.home, "jobs", "submit", "tiny", "--source", "local", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_spec_is_read_from_stdin_and_bad_fields_are_reported(stack: Up) -> None:
    done = dsnot(stack.home, "jobs", "submit", "--spec", "-", stdin=json.dumps(SPEC | {"colour": "red"}))
    assert done.returncode == 1
    assert "/colour" in done.stderr


def test_an_unknown_job_is_reported(stack: Up) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    for command in (["jobs", "show"], ["jobs", "watch"], ["jobs", "cancel"], ["artifacts", "download"]):
        done = dsnot(stack.home, *command, unknown)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("dsnot: ")
        assert done.stdout == ""


def test_a_failed_job_sets_message_and_exit_status(stack: Up) -> None:
    done = dsnot(stack.home, "jobs", "submit", *_TINY, "--samples", "65536", "--sequence-length", "512", "--watch")
    assert done.returncode == 1
    assert "not-enough-calibration-data" in done.stderr
    assert "trying again will not help" in done.stderr


def test_the_log_of_a_job_is_printed_filtered_and_followed(stack: Up, done_job: dict[str, Any]) -> None:
    lines = _json_lines(stack, "jobs", "logs", done_job["id"])
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0]["text"].startswith("job_claimed")
    assert lines[-1]["text"].startswith("artifact_published")
    assert _json_lines(stack, "jobs", "logs", done_job["id"], "--tail", "2") == lines[-2:]
    assert _json_lines(stack, "jobs", "logs", done_job["id"], "-f", "--attempt", "1") == lines
    assert _json_lines(stack, "jobs", "logs", done_job["id"], "--attempt", "2") == []
    assert _json_lines(stack, "jobs", "logs", done_job["id"], "--level", "error") == []
    printed = dsnot(stack.home, "jobs", "logs", done_job["id"]).stdout.splitlines()
    assert [line.endswith(found["text"]) for line, found in zip(printed, lines, strict=True)] == [True] * len(lines)
    assert "no lines" in dsnot(stack.home, "jobs", "logs", done_job["id"], "--level", "critical").stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--level", "loud"], "'loud' is not one of"), (["--attempt", "0"], "--attempt"), (["--tail", "1001"], "--tail")],
)
def test_bad_options_of_the_log_are_refused(stack: Up, done_job: dict[str, Any], options: list[str], message: str) -> None:
    done = dsnot(stack.home, "jobs", "logs", done_job["id"], *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_failed_job_is_shown_and_watched_with_its_last_lines(stack: Up) -> None:
    job_id = dsnot(stack.home, "jobs", "submit", *_TINY, "--samples", "65536", "--sequence-length", "512").stdout.strip()
    watched = dsnot(stack.home, "jobs", "watch", job_id)
    assert watched.returncode == 1
    shown = dsnot(stack.home, "jobs", "show", job_id)
    last = [line["text"] for line in _json_lines(stack, "jobs", "logs", job_id, "--tail", "10")]
    for output in (watched.stderr, shown.stdout):
        head, *lines = output.partition("last lines of attempt ")[2].splitlines()
        assert head == f"1; all with `dsnot jobs logs {job_id}`:"
        assert lines == last
    assert last[-1].startswith("run_failed code=")


def test_a_cancelled_job_has_exit_status_3(stack: Up) -> None:
    os.kill(stack.pids["worker"], signal.SIGSTOP)  # so that the job waits
    try:
        job = _json(stack, "jobs", "submit", *_TINY)["id"]
        assert _json(stack, "jobs", "cancel", job)["state"] == "cancelled"
        assert dsnot(stack.home, "jobs", "watch", job).returncode == 3
    finally:
        os.kill(stack.pids["worker"], signal.SIGCONT)


def test_a_finished_job_is_not_cancelled(stack: Up, done_job: dict[str, Any]) -> None:
    done = dsnot(stack.home, "jobs", "cancel", done_job["id"])
    assert done.returncode == 1
    assert "succeeded" in done.stderr


def test_an_artifact_is_downloaded_completely_and_loads(stack: Up, done_job: dict[str, Any], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    answer = _json(stack, "artifacts", "download", done_job["id"], "--to", str(tmp_path / "pruned"))
    assert Path(answer["folder"]) == tmp_path / "pruned"
    on_disk = {str(path.relative_to(tmp_path / "pruned")) for path in (tmp_path / "pruned").rglob("*") if path.is_file()}
    assert on_disk == {file["path"] for file in answer["files"]} | {"manifest.json"}
    assert _json(stack, "artifacts", "verify", str(tmp_path / "pruned"))["faults"] == []
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "pruned", check=False)
    assert sums.returncode == 0
    weight = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned").model.layers[0].mlp.up_proj.weight
    assert float((weight == 0).float().mean()) == pytest.approx(0.5)


def test_the_report_of_a_job_is_downloaded_alone(stack: Up, done_job: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "pages" / "one.html"
    answer = _json(stack, "jobs", "report", done_job["id"], "--to", str(target))
    assert answer["file"] == str(target)
    assert target.stat().st_size == answer["bytes"]
    assert [path.name for path in target.parent.iterdir()] == ["one.html"]
    perplexity = done_job["metrics"]["pruned"]["perplexity"][0]["perplexity"]
    assert f"{perplexity:,.3f}" in target.read_text()


def test_packed_weights_are_downloaded_unpacked_and_verified(stack: Up, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    done = dsnot(stack.home, "jobs", "submit", *_TINY, "--evaluate", "wiki-sample", "--format", "packed", "--watch", "--json")
    assert done.returncode == 0, done.stderr
    job_id = json.loads(done.stdout.splitlines()[-1])["job"]["id"]
    folder = tmp_path / "pruned"
    told = dsnot(stack.home, "artifacts", "download", job_id, "--to", str(folder))
    assert f"dsnot artifacts unpack {folder}" in told.stderr
    assert not list(folder.glob("*.safetensors"))
    _json(stack, "artifacts", "download", job_id, "--to", str(folder), "--unpack")
    assert "model.safetensors" in _json(stack, "artifacts", "verify", str(folder))["files"]
    weight = AutoModelForCausalLM.from_pretrained(folder).model.layers[0].mlp.up_proj.weight
    assert float((weight == 0).float().mean()) == pytest.approx(0.5)
    body = json.dumps({"model": {"source": "job", "id": job_id}})
    refused = dsnot(stack.home, "jobs", "submit", "--spec", "-", stdin=body)
    assert refused.returncode == 1
    assert "repeat it with `dense`" in refused.stderr


def test_a_file_altered_in_the_store_is_refused_and_deleted(stack: Up, done_job: dict[str, Any], tmp_path: Path) -> None:
    (stored,) = (stack.home / "artifacts" / "jobs" / done_job["id"]).rglob("*.safetensors")
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    done = dsnot(stack.home, "artifacts", "download", done_job["id"], "--to", str(tmp_path / "pruned"))
    content[-1] ^= 1
    stored.write_bytes(content)
    assert done.returncode == 1
    assert "model.safetensors does not match the manifest" in done.stderr
    assert not list((tmp_path / "pruned").glob("model.safetensors*"))


def test_keys_are_created_listed_and_revoked(stack: Up) -> None:
    made = _json(stack, "keys", "create", "--name", "pipeline", "--scope", "jobs:read")
    assert made["key"] == f"dsnot_{made['id']}_{made['key'].split('_', 2)[2]}"
    assert made["id"] in [key["id"] for key in _json_lines(stack, "keys", "list")]
    assert all("secret_sha256" not in key for key in _json_lines(stack, "keys", "list"))
    with_key = {"DSNOT_URL": stack.url, "DSNOT_API_KEY": made["key"]}
    assert dsnot(stack.home, "jobs", "list", **with_key).returncode == 0
    refused = dsnot(stack.home, "jobs", "submit", *_TINY, **with_key)
    assert refused.returncode == 1
    assert "jobs:write" in refused.stderr
    assert _json(stack, "keys", "revoke", made["id"])["revoked_at"]
    revoked = dsnot(stack.home, "jobs", "list", **with_key)
    assert revoked.returncode == 1
    assert made["key"] not in revoked.stderr
    assert dsnot(stack.home, "keys", "revoke", "nothing").returncode == 1


def test_a_key_is_rotated(stack: Up) -> None:
    made = _json(stack, "keys", "create", "--name", "pipeline", "--scope", "jobs:read")
    again = _json(stack, "keys", "rotate", made["id"], "--overlap", "0")
    assert again["id"] == made["id"]
    assert dsnot(stack.home, "jobs", "list", DSNOT_URL=stack.url, DSNOT_API_KEY=made["key"]).returncode == 1
    assert dsnot(stack.home, "jobs", "list", DSNOT_URL=stack.url, DSNOT_API_KEY=again["key"]).returncode == 0
    listed = next(key for key in _json_lines(stack, "keys", "list") if key["id"] == made["id"])
    assert listed["last_used_at"]
    _json(stack, "keys", "revoke", made["id"])
    assert "create a new one" in dsnot(stack.home, "keys", "rotate", made["id"]).stderr


def test_the_audit_log_is_listed(stack: Up, done_job: dict[str, Any]) -> None:
    made = _json(stack, "keys", "create", "--name", "pipeline", "--scope", "jobs:read")
    entries = _json_lines(stack, "audit")
    newest = next(each for each in entries if each["action"] == "create_key")
    assert (newest["key_id"], newest["path"]) == (
        None,
        f"/v1/keys/{made['id']}",
    )
    asked = next(
        each for each in _json_lines(stack, "audit", "--action", "create_job") if done_job["id"] in (each["created"] or "")
    )
    assert (asked["status"], asked["path"]) == (201, "/v1/jobs")
    assert done_job["id"] in dsnot(stack.home, "audit", "--action", "create_job").stdout


def test_a_tenant_gets_its_own_quotas(stack: Up) -> None:
    assert _json(stack, "quotas", "show", "--tenant", "small") == {}
    assert _json(stack, "quotas", "set", "--tenant", "small", "--max-queued-jobs", "2") == {"max_queued_jobs": 2}
    kept = _json(stack, "quotas", "set", "--tenant", "brief", "--keep-jobs-seconds", "86400", "--keep-audit-seconds", "0")
    assert kept == {"keep_jobs_seconds": 86400, "keep_audit_seconds": 0}
    both = {"max_queued_jobs": 2, "writes_per_minute": 10}
    assert _json(stack, "quotas", "set", "--tenant", "small", "--writes-per-minute", "10") == both
    assert "max queued jobs" in dsnot(stack.home, "quotas", "show", "--tenant", "small").stdout
    of_claims = ("--max-running-jobs", "1", "--share", "2", "--max-priority", "3")
    of_workers = {"max_running_jobs": 1, "share": 2, "max_priority": 3}
    assert _json(stack, "quotas", "set", "--tenant", "small", *of_claims) == both | of_workers
    assert "--share" in dsnot(stack.home, "quotas", "set", "--tenant", "small", "--share", "0").stderr
    assert dsnot(stack.home, "quotas", "set", "--tenant", "small").returncode == 2
    assert dsnot(stack.home, "quotas", "reset", "--tenant", "small").returncode == 0
    assert _json(stack, "quotas", "show", "--tenant", "small") == {}


def test_a_model_is_imported_once_and_then_listed(stack: Up, tmp_path: Path) -> None:
    source = save_model(tmp_path / "another")
    answer = _json(stack, "models", "import", str(source))
    assert answer == {"id": "another", "path": str(stack.home / "models" / "another")}
    assert _json(stack, "models", "import", str(source)) == answer
    assert (stack.home / "models" / "another" / "model.safetensors").exists()
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    broken = dsnot(stack.home, "models", "import", str(tmp_path / "broken.gguf"))
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    assert not (stack.home / "models" / "broken").exists()


def test_a_model_is_inspected_before_it_is_pruned(stack: Up, done_job: dict[str, Any]) -> None:
    found = _json(stack, "models", "inspect", "tiny", "--source", "local")
    assert (found["model_type"], found["blocks"], found["can_be_pruned"]) == ("llama", 2, True)
    made = _json(stack, "models", "inspect", done_job["id"], "--source", "job")
    assert made["parameters"] == found["parameters"]
    assert "LlamaForCausalLM" in dsnot(stack.home, "models", "inspect", "tiny", "--source", "local").stdout
    unknown = dsnot(stack.home, "models", "inspect", "nowhere", "--source", "local")
    assert unknown.returncode == 1
    assert "there is no local model nowhere" in unknown.stderr


def test_a_data_set_is_uploaded_listed_used_and_deleted(stack: Up, tmp_path: Path) -> None:
    file = tmp_path / "tickets.txt"
    file.write_text("\n\n".join(f"the number {number} is for you and that" for number in range(400)))
    made = _json(stack, "datasets", "upload", str(file), "--name", "tickets")
    assert _json(stack, "datasets", "upload", str(file)) == made
    assert dsnot(stack.home, "datasets", "upload", str(file)).stdout.strip() == made["id"]
    assert made["id"] in [each["id"] for each in _json_lines(stack, "datasets", "list")]
    assert "tickets" in dsnot(stack.home, "datasets", "list").stdout
    body = ["tiny", "--source", "local", "--dataset", made["id"], "--samples", "2", "--sequence-length", "16"]
    done = dsnot(stack.home, "jobs", "submit", *body, "--evaluate", made["id"], "--watch", "--json")
    assert done.returncode == 0, done.stderr
    assert dsnot(stack.home, "datasets", "delete", made["id"]).returncode == 0
    assert made["id"] not in [each["id"] for each in _json_lines(stack, "datasets", "list")]
    odd = tmp_path / "tickets.csv"
    odd.write_text("a,b")
    refused = dsnot(stack.home, "datasets", "upload", str(odd))
    assert refused.returncode == 1
    assert ".jsonl" in refused.stderr


def test_a_plan_takes_the_options_of_a_job_and_creates_none(stack: Up) -> None:
    before = len(_json_lines(stack, "jobs", "list"))
    found = _json(stack, "jobs", "plan", *_TINY, "--sparsity", "0.25")
    assert found["spec"]["recipe"]["pattern"] == {"type": "unstructured", "sparsity": 0.25}
    eventually(lambda: _json(stack, "jobs", "plan", *_TINY)["queue"]["able_workers"] == 1)  # on a busy machine it may seem silent
    shown = dsnot(stack.home, "jobs", "plan", *_TINY)
    assert "LlamaForCausalLM" in shown.stdout
    assert "memory (cpu)" in shown.stdout
    assert "of the host's, most while" in shown.stdout
    assert "calibration samples instead of 2" in shown.stderr
    refused = dsnot(stack.home, "jobs", "plan", "nowhere", "--source", "local")
    assert (refused.returncode, "there is no local model nowhere" in refused.stderr) == (1, True)
    assert len(_json_lines(stack, "jobs", "list")) == before


def test_a_trigger_is_created_tested_fired_and_inspected(stack: Up, tmp_path: Path) -> None:
    template, event = tmp_path / "template.json", tmp_path / "event.json"
    body = {
        "model": {"source": "local", "id": "${{ data.model }}"},
        **{part: SPEC[part] for part in ("calibration", "evaluation")},
    }
    template.write_text(json.dumps(body))
    event.write_text(json.dumps({"id": "run-1", "model": "tiny"}))
    made = _json(stack, "triggers", "create", "nightly", "--template", str(template), "--filter", "data.model")
    assert made["secret"].startswith("whsec_")
    assert _json(stack, "triggers", "fire", made["id"], str(event), "--dry-run")["spec"]["model"]["id"] == "tiny"
    first, again = (_json(stack, "triggers", "fire", made["id"], str(event)) for _ in range(2))
    assert first["outcome"] == "fired"
    assert first["job_id"] == again["job_id"] is not None
    assert {each["outcome"] for each in _json_lines(stack, "triggers", "firings", made["id"])} == {"fired", "duplicate"}
    assert "run-1" in dsnot(stack.home, "triggers", "firings", made["id"]).stdout
    another = _json(stack, "triggers", "replay", made["id"], first["id"])
    assert another["job_id"] not in (None, first["job_id"])
    assert "nightly" in dsnot(stack.home, "triggers", "list").stdout
    assert _json(stack, "triggers", "rotate", made["id"])["secret"] != made["secret"]
    template.write_text(json.dumps({"template": body, "axes": {"/recipe/preset": ["fast"]}}))
    of_sweeps = _json(stack, "triggers", "create", "weekly", "--template", str(template), "--starts", "sweep")
    assert (made["starts"], of_sweeps["starts"]) == ("job", "sweep")
    sweep_id = _json(stack, "triggers", "fire", of_sweeps["id"], str(event))["sweep_id"]
    assert sweep_id in dsnot(stack.home, "triggers", "firings", of_sweeps["id"]).stdout
    assert [dsnot(stack.home, "triggers", "delete", each["id"]).returncode for each in (made, of_sweeps)] == [0, 0]
    assert _json_lines(stack, "triggers", "list") == []
