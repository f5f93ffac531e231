"""The formats of a real job: what a worker publishes packed and as a mask is the dense artifact, byte for byte."""

import hashlib
import json
import shutil
import threading
from pathlib import Path
from uuid import UUID

import pytest
import torch
from jsonschema import Draft202012Validator, ValidationError
from transformers import AutoModelForCausalLM

from docs.generate import artifact_files
from service.contract.artifacts import Manifest
from service.contract.provenance import Provenance
from service.contract.spec import JobSpec
from service.contract.states import JobState
from service.database.engine import Database
from service.packing import WrongBase, apply_mask, unpack, verify
from service.settings import Settings
from tests.support.job_rows import insert_job, job_row
from tests.support.tiny_model import save_model
from worker.attempt.runner import work

HALF = {"pattern": {"type": "unstructured", "sparsity": 0.6}, "refinement": {"method": "dsnot"}}


@pytest.fixture
def model(settings: Settings, tmp_path: Path) -> Path:
    """In bfloat16 and in several files."""
    whole = save_model(tmp_path / "whole", width=64)
    folder = settings.model_root / "tiny"
    shutil.copytree(whole, folder)
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(whole).bfloat16().save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def publish(settings: Settings, database: Database, *formats: str) -> tuple[Path, UUID]:
    """The folder of the artifact of a job with these formats, manifest included."""
    job_id = insert_job(database, recipe=HALF, output={"formats": list(formats)})
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    return Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix), job_id


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_packed_files_and_masks_give_the_dense_files(settings: Settings, database: Database, model: Path, tmp_path: Path) -> None:
    artifact, job_id = publish(settings, database, "dense", "packed", "mask")
    dense = shards(artifact)
    assert dense.keys() == shards(model).keys()
    assert dense != shards(model)

    unpack(artifact, tmp_path / "unpacked")
    apply_mask(artifact, model, tmp_path / "masked")

    sums = dict(line.split("  ")[::-1] for line in (artifact / "SHA256SUMS").read_text().splitlines())
    for made in (tmp_path / "unpacked", tmp_path / "masked"):
        assert shards(made) == dense
        assert {name: hashlib.sha256(content).hexdigest() for name, content in shards(made).items()}.items() <= sums.items()
        assert verify(made).faults == []
        loaded = AutoModelForCausalLM.from_pretrained(made)
        weight = loaded.model.layers[0].mlp.up_proj.weight
        assert weight.dtype == torch.bfloat16
        assert float((weight == 0).float().mean()) == pytest.approx(0.6, abs=0.02)
    metrics = job_row(database, job_id).metrics
    assert metrics is not None
    assert metrics["weight_bytes"]["dense"] == sum(map(len, dense.values()))
    assert metrics["weight_bytes"]["mask"] == sum(path.stat().st_size for path in artifact.glob("*.mask"))


def test_without_the_dense_format_no_dense_files_are_published(
    settings: Settings, database: Database, model: Path, tmp_path: Path
) -> None:
    whole, _ = publish(settings, database, "dense")
    artifact, _ = publish(settings, database, "packed")
    manifest = Manifest.model_validate_json((artifact / "manifest.json").read_bytes())
    names = {file.path for file in manifest.files}
    assert {Path(name).suffix for name in names if name.startswith("model-")} == {".packed"}
    assert {"config.json", "tokenizer.json", "README.md", "recipe.json", "sparsity_report.json", "SHA256SUMS"} <= names
    assert "model.safetensors.index.json" in names
    assert manifest.formats == ["packed"]
    assert manifest.weight_bytes is not None
    assert {"report.html", "provenance.json"} <= names
    assert manifest.provenance == Provenance.model_validate_json((artifact / "provenance.json").read_bytes())
    assert [text.dataset for text in manifest.provenance.texts] == ["c4-sample:test"]
    assert "gate_proj" in (artifact / "report.html").read_text()
    assert "dsnot artifacts unpack" in (artifact / "README.md").read_text()
    assert verify(artifact).faults == []
    unpack(artifact, tmp_path / "unpacked")
    assert shards(tmp_path / "unpacked") == shards(whole)


def test_the_json_files_of_an_artifact_fit_their_schemas(settings: Settings, database: Database, model: Path) -> None:
    artifact, _ = publish(settings, database, "dense")
    for name, schema in artifact_files.schemas().items():
        content = json.loads((artifact / name.replace(".schema.json", ".json")).read_text())
        Draft202012Validator(json.loads(schema)).validate(content)
        assert content["schema_version"] == 1, name
        assert content.keys() == json.loads(schema)["properties"].keys(), name
        with pytest.raises(ValidationError):
            Draft202012Validator(json.loads(schema)).validate({**content, "schema_version": "1"})
    report = json.loads((artifact / "sparsity_report.json").read_text())
    places = {each["name"]: (each["block"], each["kind"]) for each in report["matrices"]}
    assert places["model.layers.0.self_attn.q_proj.weight"] == (0, "q_proj")
    assert places["model.layers.1.mlp.down_proj.weight"] == (1, "down_proj")
    assert [each["block"] for each in report["blocks"]] == [0, 1]


def test_a_recipe_file_repeats_its_job_on_the_same_files_only(settings: Settings, database: Database, model: Path) -> None:
    artifact, _ = publish(settings, database, "dense")
    recipe = json.loads((artifact / "recipe.json").read_text())
    body = JobSpec.model_validate(recipe).model_dump(mode="json")
    assert body["model"]["revision"] == json.loads((artifact / "sparsity_report.json").read_text())["source"]

    again = insert_job(database, **body)
    assert work(settings, threading.Event())
    job = job_row(database, again)
    assert job.state == JobState.SUCCEEDED, job.error
    assert shards(Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)) == shards(artifact)

    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    other = insert_job(database, **body)
    assert work(settings, threading.Event())
    error = job_row(database, other).error
    assert error is not None
    assert (error["code"], "model.revision" in error["detail"]) == ("model-not-found", True)


def test_files_without_version_are_read(settings: Settings, database: Database, model: Path) -> None:
    artifact, _ = publish(settings, database, "dense")
    for name, kind in (("manifest.json", Manifest), ("provenance.json", Provenance)):
        content = json.loads((artifact / name).read_text())
        del content["schema_version"]
        (content.get("provenance") or {}).pop("schema_version", None)
        assert kind.model_validate(content).schema_version == 1
    recipe = json.loads((artifact / "recipe.json").read_text())
    del recipe["schema_version"]
    recipe["model"]["revision"] = None
    JobSpec.model_validate(recipe)


def test_a_mask_alone_is_small_and_refuses_another_base(
    settings: Settings, database: Database, model: Path, tmp_path: Path
) -> None:
    artifact, _ = publish(settings, database, "mask")
    assert not shards(artifact)
    other = tmp_path / "other"
    shutil.copytree(model, other)
    path = next(iter(sorted(other.glob("*.safetensors"))))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WrongBase, match="tiny"):
        apply_mask(artifact, other, tmp_path / "made")


def test_a_mask_omits_the_weights_of_unpruned_tensors(settings: Settings, database: Database, model: Path) -> None:
    artifact, _ = publish(settings, database, "mask")
    encodings: dict[str, str] = {}
    for path in artifact.glob("*.mask"):
        content = path.read_bytes()
        header = json.loads(content[content.rindex(b'{"kind"') :])
        encodings |= {tensor["name"]: tensor["encoding"] for tensor in header["tensors"]}
    assert {name for name, encoding in encodings.items() if encoding == "masked"} == {n for n in encodings if "_proj" in n}
    assert set(encodings.values()) == {"masked", "unchanged"}
