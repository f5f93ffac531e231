"""What an artifact contains, and that it reaches the store whole or not at all."""

import hashlib
import json
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from obstore.store import LocalStore, MemoryStore, ObjectStore

from service.contract.artifacts import Manifest
from service.contract.failures import FailureCode
from service.contract.formats import WeightSizes
from service.contract.provenance import PROVENANCE_NAME, Provenance, SourceFacts
from service.contract.spec import JobSpec
from tests.support import checkpoints
from tests.support.matrix_reports import matrix_report
from worker import store_transfer as transfers
from worker.engine import SparsityReport
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.quality import Measured, Quality
from worker.evaluation.speed.stage import ModelSpeed, Speed
from worker.evaluation.speed.timing import Throughput
from worker.evaluation.task_results import MetricValue, TaskResult
from worker.failures import JobFailure
from worker.inputs.models import Model
from worker.inputs.provenance import provenance_of, text_facts
from worker.publishing import artifact as artifacts
from worker.publishing.artifact import describe, open_store, publish, sweep
from worker.publishing.model_card.model_index import eval_results
from worker.publishing.outcome import Outcome

SPEC = JobSpec.model_validate(
    {"model": {"source": "local", "id": "tiny_model"}, "calibration": {"dataset": "c4-sample"}, "labels": {"team": "secret"}}
)
MATRIX = matrix_report("a.weight", (4, 8), error=float("nan"))
REPORT = replace(SparsityReport.of([[MATRIX]], block_parameters=33, seconds={"masks": 0.1}), warnings=("64 tokens are few.",))
SIZES = WeightSizes(dense=2000, packed=1100, zstd=1200)
JOB, FENCE = "0198b6f2-0000-7000-8000-000000000001", 1


def ignore(done: int, total: int) -> None:
    """Progress that nobody follows."""


def _metric(value: float) -> PerplexityMetric:
    return PerplexityMetric(dataset="wiki-sample:test", sequence_length=64, windows=3, tokens=189, perplexity=value, mean_nll=1.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\nthe original's words\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pruned"
    (folder / "additional_chat_templates").mkdir(parents=True)
    (folder / "additional_chat_templates" / "tools.jinja").write_text("x")
    (folder / "empty.txt").touch()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 50_000)  # 12.8 MB: more than one part
    return folder


def _model(source: Path, **changes: object) -> Model:
    fields = {"id": "tiny_model", "path": source, "revision": "ab" * 32, "license": "mit", "base_model": None} | changes
    return Model(**fields)  # type: ignore[arg-type]


QUALITY = Quality(dense=Measured([_metric(20.5)]), pruned=Measured([_metric(30.25)]))


def _describe(folder: Path, model: Model, spec: JobSpec = SPEC, quality: Quality = QUALITY) -> str:
    provenance = provenance_of(spec, model, [text_facts("c4-sample:train", ["One.", "Two."])], [], device="cpu")
    describe(folder, Outcome(spec, model, REPORT, quality, SIZES, provenance, REPORT.warnings))
    return (folder / "README.md").read_text()


def test_sha256sum_confirms_every_file(folder: Path, source: Path) -> None:
    _describe(folder, _model(source))

    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True, text=True).stdout

    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    assert {line.removesuffix(": OK") for line in checked.splitlines()} == names


def test_the_card_states_recipe_and_measurements(folder: Path, source: Path) -> None:
    card = _describe(folder, _model(source, base_model="organisation/tiny"))

    data = _front_matter(card)
    assert (data["license"], data["base_model"], data["library_name"]) == ("mit", "organisation/tiny", "transformers")
    assert {"pruned", "sparse", "wanda", "swaps"} <= set(data["tags"])
    assert r"| wiki\-sample:test | 3 × 64 tokens | 20.5000 | 30.2500 | not measured |" in card
    assert "agree with the dense model" not in card
    assert "50.00%" in card
    assert "* Warning: 64 tokens are few." in card
    assert "neither smaller nor faster" in card
    assert "secret" not in card


@pytest.mark.parametrize(
    ("architecture", "name"),
    [("LlamaForCausalLM", "AutoModelForCausalLM"), ("LlavaForConditionalGeneration", "LlavaForConditionalGeneration")],
)
def test_the_card_names_the_class_that_loads_the_model(folder: Path, source: Path, architecture: str, name: str) -> None:
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    provenance = provenance_of(SPEC, _model(source), [], [], device="cpu")
    describe(folder, Outcome(SPEC, _model(source), REPORT, Quality(), SIZES, provenance))
    assert f"import AutoTokenizer, {name}\n\nmodel = {name}.from_pretrained(" in (folder / "README.md").read_text()


def test_the_card_states_measured_speeds_and_omissions(folder: Path, source: Path) -> None:
    rate = Throughput(median=1234.5, lowest=1200.0, highest=1300.0, times=5)
    memory = {"dtype": "bfloat16", "weight_bytes": 1 << 28, "peak_bytes": 1 << 29}
    timed = ModelSpeed(prefill=rate, prefills={257: rate}, first_token_seconds=0.2, decode=rate, **memory)
    speed = Speed(device="A *fast* one", threads=2, prompt_tokens=257, new_tokens=32, pruned=timed, why_not="It is too large.")

    provenance = provenance_of(SPEC, _model(source), [], [], device="cpu")
    describe(folder, Outcome(SPEC, _model(source), REPORT, Quality(speed=speed), SIZES, provenance))

    card = (folder / "README.md").read_text()
    assert "| pruned, dense kernels | 1,234.5 (1,200.0 to 1,300.0) | 1,234.5 (1,200.0 to 1,300.0) | 256 MiB | 512 MiB |" in card
    assert "dense original" not in card
    assert r"A \*fast\* one" in card
    assert "Not measured: It is too large." in card
    page = (folder / "report.html").read_text()
    assert "1,234.500" in page
    assert "pruned, dense kernels" in page
    assert "dense original" not in page
    assert "It is too large." in page


@pytest.mark.parametrize(
    ("recipe", "lines", "tags"),
    [
        (
            {"preset": "balanced"},
            [
                "* Preset: balanced",
                "* Criterion: wanda",
                "* Objective: propagated: every matrix imitates what the dense model computes at its place",
                "* Refinement: swaps (max_swaps 100)",
                "* Weight update: none: kept weights have their original values",
            ],
            ["wanda", "swaps"],
        ),
        (
            {"preset": "best"},
            [
                "* Criterion: none: admm finds the mask",
                "* Refinement: none",
                "* Weight update: admm (iterations 20, damping 0.1, mask joint)",
            ],
            ["admm"],
        ),
        (
            {"criterion": "obs", "update": {"method": "obs"}},
            ["* Criterion: obs", "* Refinement: none", "* Weight update: obs (damping 0.01)"],
            ["obs"],
        ),
        (
            {"refinement": {"method": "swaps"}, "update": {"method": "least_squares"}, "allocation": "owl"},
            ["* Pattern: 50 % (unstructured), owl over the blocks", "* Weight update: least_squares (damping 0.01)"],
            ["wanda", "swaps", "least_squares"],
        ),
    ],
)
def test_the_card_describes_any_recipe(
    folder: Path, source: Path, recipe: dict[str, Any], lines: list[str], tags: list[str]
) -> None:
    spec = JobSpec.model_validate(SPEC.model_dump(mode="json", exclude={"recipe"}) | {"recipe": recipe})

    card = _describe(folder, _model(source), spec)

    assert set(lines) <= set(card.splitlines())
    assert _front_matter(card)["tags"] == ["pruned", "sparse", *tags]


def test_the_card_has_the_tasks_of_both_models_side_by_side(folder: Path, source: Path) -> None:
    def result(value: float, error: float | None) -> TaskResult:
        metrics = {"acc": MetricValue(value=value, standard_error=error)}
        return TaskResult(task="arc_easy", version="1.0", samples=100, few_shot=2, metrics=metrics, harness="0.4.13")

    def card(quality: Quality) -> str:
        return _describe(folder, _model(source), quality=quality)

    both = card(Quality(dense=Measured(tasks=[result(0.5, 0.05)]), pruned=Measured(tasks=[result(0.25, None)])))
    assert "| `arc_easy` | 100 | 2 | `acc` | 0.5000 ± 0.0500 | 0.2500 |" in both
    assert "lm-evaluation-harness 0.4.13" in both
    assert "Nothing was measured" not in both
    one = card(Quality(dense=Measured([_metric(20.5)], [result(0.5, 0.05)]), pruned=Measured([_metric(30.25)])))
    assert "| `arc_easy` | 100 | 2 | `acc` | 0.5000 ± 0.0500 | not measured |" in one
    assert r"| wiki\-sample:test |" in one
    assert "Nothing was measured." in card(Quality(pruned=Measured()))


def test_the_card_of_the_source_is_kept_next_to_the_new_one(folder: Path, source: Path) -> None:
    card = _describe(folder, _model(source))

    assert "the original's words" in (folder / "README.source.md").read_text()
    assert "README.source.md" in card


def test_unknown_facts_are_not_stated(folder: Path, source: Path) -> None:
    (source / "README.md").unlink()

    card = _describe(folder, _model(source, license=None, base_model="../not an id"))

    assert "license:" not in card
    assert "base_model:" not in card
    assert not (folder / "README.source.md").exists()


def test_external_names_are_rendered_as_text(folder: Path, source: Path) -> None:
    hostile = "x\n# injected <script>alert(1)</script> [a](javascript:b) `c` | d"

    card = _describe(folder, _model(source, id=hostile, license="mit\ntags: [evil]"))

    data = _front_matter(card)
    assert data["license"] == "mit\ntags: [evil]"
    assert "evil" not in data["tags"]
    assert "<script>" not in card
    assert "\n# injected" not in card
    assert "](javascript" not in card


def test_reports_are_strict_json_and_the_recipe_can_be_reused(folder: Path, source: Path) -> None:
    _describe(folder, _model(source))

    report = json.loads((folder / "sparsity_report.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert report["matrices"][0]["error"] is None
    assert report["matrices"][0]["shape"] == [4, 8]
    recipe = json.loads((folder / "recipe.json").read_text())
    assert JobSpec.model_validate_json(json.dumps(recipe)).recipe == SPEC.recipe
    assert "labels" not in recipe


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(checkpoints.settings(tmp_path)) if request.param == "local" else MemoryStore()


def _front_matter(card: str) -> dict[str, Any]:
    """As the Hub's own library reads it."""
    return dict(vars(ModelCard(card).data))


def _paths(store: ObjectStore) -> set[str]:
    return {entry["path"] for batch in store.list() for entry in batch}


def test_the_manifest_lists_exactly_what_the_store_holds(folder: Path, store: ObjectStore) -> None:
    manifest = publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)

    prefix = f"jobs/{JOB}/{FENCE}"
    assert _paths(store) == {f"{prefix}/{file.path}" for file in manifest.files} | {f"{prefix}/manifest.json"}
    assert Manifest.model_validate_json(bytes(store.get(f"{prefix}/manifest.json").bytes())) == manifest
    assert {file.path for file in manifest.files} == {
        "additional_chat_templates/tools.jinja",
        "empty.txt",
        "model.safetensors",
    }
    for file in manifest.files:
        content = bytes(store.get(f"{prefix}/{file.path}").bytes())
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert content == (folder / file.path).read_bytes()


def test_progress_counts_all_bytes(folder: Path, store: ObjectStore) -> None:
    told: list[tuple[int, int]] = []

    manifest = publish(folder, store, job_id=JOB, fence=FENCE, progress=lambda *counts: told.append(counts), tick=lambda: None)

    total = sum(file.bytes for file in manifest.files)
    assert told == sorted(told)
    assert told[-1] == (total, total)
    assert len(told) > 4
    assert {counts[1] for counts in told} == {total}


def test_publishing_again_gives_the_same_manifest(folder: Path, store: ObjectStore) -> None:
    first = publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)

    assert publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None) == first


def test_a_manifest_is_never_replaced_by_another(folder: Path, store: ObjectStore) -> None:
    first = publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)
    (folder / "empty.txt").write_text("no longer")

    with pytest.raises(JobFailure) as caught:
        publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)

    assert caught.value.code is FailureCode.ARTIFACT_UPLOAD_FAILED
    kept = bytes(store.get(f"jobs/{JOB}/{FENCE}/manifest.json").bytes())
    assert Manifest.model_validate_json(kept) == first
    for file in first.files:
        content = bytes(store.get(f"jobs/{JOB}/{FENCE}/{file.path}").bytes())
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_of_two_concurrent_publishers_the_second_is_refused(
    folder: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)
    monkeypatch.setattr(artifacts, "_published", lambda *_: None)  # it looked too early to see the first
    publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)
    (folder / "empty.txt").write_text("no longer")

    with pytest.raises(JobFailure, match="another artifact"):
        publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)


class _Stop(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 2, 4, 6, 8])
def test_an_exception_in_a_tick_prevents_the_manifest(after: int, folder: Path, store: ObjectStore, tmp_path: Path) -> None:
    ticks = iter(range(after))

    def tick() -> None:
        if next(ticks, None) is None:
            raise _Stop

    with pytest.raises(_Stop):
        publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=tick)

    assert not [path for path in _paths(store) if path.endswith("manifest.json")]
    sweep(store, JOB, FENCE)
    assert not _paths(store)
    assert not list((tmp_path / "artifacts").rglob(f"{FENCE}/*"))


def test_a_store_that_returns_other_bytes_gets_no_manifest(
    folder: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = transfers.upload

    def corrupting(store: ObjectStore, key: str, *rest: object) -> object:
        file = upload(store, key, *rest)  # type: ignore[arg-type]
        store.put(key, b"\x00" + bytes(store.get(key).bytes())[1:])
        return file

    monkeypatch.setattr(artifacts, "upload", corrupting)

    with pytest.raises(JobFailure, match="other bytes") as caught:
        publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)

    assert caught.value.code is FailureCode.ARTIFACT_UPLOAD_FAILED
    assert not [path for path in _paths(store) if path.endswith("manifest.json")]


def test_sweep_deletes_files_of_one_attempt_only(folder: Path, store: ObjectStore) -> None:
    for fence in (1, 10):
        publish(folder, store, job_id=JOB, fence=fence, progress=ignore, tick=lambda: None)

    sweep(store, JOB, 1)
    sweep(store, JOB, 1)
    sweep(store, JOB, 7)

    assert _paths(store)
    assert all(path.startswith(f"jobs/{JOB}/10/") for path in _paths(store))


def test_sweep_deletes_parts_of_a_killed_upload(folder: Path, tmp_path: Path) -> None:
    store = open_store(checkpoints.settings(tmp_path))
    publish(folder, store, job_id=JOB, fence=FENCE, progress=ignore, tick=lambda: None)
    place = tmp_path / "artifacts" / "jobs" / JOB / str(FENCE)
    (place / "model.safetensors#1").write_text("half")

    sweep(store, JOB, FENCE)

    assert not place.exists()


def test_a_local_store_is_created_at_its_url_including_spaces(tmp_path: Path) -> None:
    url = (tmp_path / "a b" / "store").as_uri()

    store = open_store(checkpoints.settings(tmp_path, artifact_url=url))
    store.put("x", b"1")

    assert isinstance(store, LocalStore)
    assert (tmp_path / "a b" / "store" / "x").read_bytes() == b"1"


def test_store_errors_are_reported_without_the_url(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(JobFailure) as caught:
        open_store(checkpoints.settings(tmp_path, artifact_url=(tmp_path / "file" / "store").as_uri()))

    assert caught.value.code is FailureCode.ARTIFACT_UPLOAD_FAILED
    assert str(tmp_path) not in caught.value.detail


def test_the_origin_is_described_in_one_file(folder: Path, source: Path) -> None:
    _describe(folder, _model(source, base_model="organisation/tiny"))

    told = Provenance.model_validate_json((folder / PROVENANCE_NAME).read_bytes())

    assert told.model == SourceFacts(
        source="local", id="tiny_model", revision="ab" * 32, license="mit", base_model="organisation/tiny"
    )
    assert told.seed == SPEC.calibration.seed
    assert told.engine.version == version("dsnot")
    assert told.engine.libraries["torch"] == torch.__version__
    text = told.texts[0]
    assert (text.dataset, text.documents, text.bytes) == ("c4-sample:train", 2, 10)
    assert text.sha256 == hashlib.sha256(b"One.\n\nTwo.").hexdigest()


def test_the_model_index_is_readable_by_the_hub_library(folder: Path, source: Path) -> None:
    card = _describe(folder, _model(source))

    (result,) = _front_matter(card)["eval_results"]
    assert (result.task_type, result.metric_type, result.metric_value) == ("text-generation", "perplexity", 30.25)
    assert (result.dataset_name, result.dataset_split) == ("wiki-sample", "test")
    assert result.metric_args == {"sequence_length": 64, "windows": 3, "tokens": 189, "bos": "stream"}
    assert _front_matter(str(ModelCard(card))) == _front_matter(card)


def test_tasks_and_data_sets_have_their_names_on_the_hub() -> None:
    task = {"task": "piqa", "version": "1.0", "samples": 9, "few_shot": 0, "harness": "0.4.13"}
    measured = {
        "perplexity": [{"dataset": "wikitext2:test", "perplexity": 12.5, "sequence_length": 64, "ci95": [12.0, 13.0]}],
        "tasks": [task | {"metrics": {"acc": {"value": 0.5, "standard_error": 0.1}, "acc_norm": {"value": 0.6}}}],
    }
    results = eval_results(measured)
    assert [(each.dataset_type, each.dataset_config, each.metric_type, each.metric_value) for each in results] == [
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "perplexity", 12.5),
        ("piqa", None, "acc", 0.5),
        ("piqa", None, "acc_norm", 0.6),
    ]
    assert results[0].metric_args == {"sequence_length": 64, "ci95": [12.0, 13.0]}
    assert results[1].metric_args == {"few_shot": 0, "samples": 9, "version": "1.0", "harness": "0.4.13", "standard_error": 0.1}
    assert model_index_to_eval_results(eval_results_to_model_index("tiny", results)) == ("tiny", results)


def test_a_model_without_measurements_has_no_index(folder: Path, source: Path) -> None:
    provenance = provenance_of(SPEC, _model(source), [], [], device="cpu")
    describe(folder, Outcome(SPEC, _model(source), REPORT, Quality(), SIZES, provenance))

    front_matter = (folder / "README.md").read_text().split("---")[1]

    assert "model-index" not in front_matter
    assert "model_name" not in front_matter
