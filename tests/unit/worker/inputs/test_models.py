"""Which models are let in, from the model root and from a hub that runs in this process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.contract.failures import FailureCode
from service.contract.model_spec import ModelSpec
from tests.support import checkpoints
from tests.support.download_hub import TinyHub
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.checkpoint.source_files import source_digest
from worker.failures import ModelError
from worker.inputs.models import Model, resolve

_CODE: dict[str, Any] = {"auto_map": {}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A sound model, `tiny`, in the model root."""
    return Path(shutil.copytree(made, tmp_path / "models" / "tiny"))


def _resolve(tmp_path: Path, model_id: str = "tiny") -> Model:
    return resolve(ModelSpec(source="local", id=model_id), checkpoints.settings(tmp_path), tenant="acme")


def _refusal(tmp_path: Path, model_id: str = "tiny") -> ModelError:
    with pytest.raises(ModelError) as caught:
        _resolve(tmp_path, model_id)
    assert str(tmp_path) not in caught.value.detail
    return caught.value


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_valid_local_model_is_resolved_with_its_card_data(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nbase_model: organisation/base\n---\n")

    model = _resolve(tmp_path)

    assert (model.path, model.license, model.base_model) == (folder, "apache-2.0", "organisation/base")


@pytest.mark.parametrize("card", ["no front matter", "---\nlicense: [a, b]\n---\n", "---\n: : {\n---\n", "---\n- a\n---\n"])
def test_an_invalid_card_is_ignored(card: str, folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text(card)

    assert _resolve(tmp_path).license is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("key", ["<<", "x"])
def test_aliases_of_a_card_are_not_expanded(key: str, folder: Path, tmp_path: Path) -> None:
    levels = [f"a{n}: &a{n} {{{key}: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    (folder / "README.md").write_text("\n".join(["---", "license: mit", "a0: &a0 {b: c}", *levels, "---", ""]))

    assert _resolve(tmp_path).license == "mit"


@pytest.mark.parametrize("name", ["back\\slash.json", "wide\u3000blank.txt", "inner/line\nbreak.json"])
def test_a_file_name_that_no_artifact_can_have_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()

    refusal = _refusal(tmp_path)

    assert refusal.code is FailureCode.MODEL_UNSAFE
    assert repr(name) in refusal.detail


def test_a_pipe_is_refused_instead_of_read(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "merges.txt")

    assert "merges.txt" in _refusal(tmp_path).detail


def test_a_local_revision_is_the_content_of_the_files_whatever_their_times(folder: Path, tmp_path: Path) -> None:
    revision = source_digest(Checkpoint(folder), lambda: None)
    pinned = ModelSpec(source="local", id="tiny", revision=revision)
    os.utime(folder / "model.safetensors", (1, 1))
    (folder / "README.md").write_text("another card")  # describes, and is not part of the model
    assert resolve(pinned, checkpoints.settings(tmp_path), tenant="acme").path == folder
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"tiny has other files than those of model\.revision") as caught:
        resolve(pinned, checkpoints.settings(tmp_path), tenant="acme")
    assert caught.value.code is FailureCode.MODEL_NOT_FOUND


def test_the_fingerprint_is_stable_and_changes_with_the_files(folder: Path, tmp_path: Path) -> None:
    weights, seen = folder / "model.safetensors", [_resolve(tmp_path).revision]
    assert _resolve(tmp_path).revision == seen[0]

    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    os.utime(weights, ns=(1, 1))
    seen.append(_resolve(tmp_path).revision)
    _edit(folder / "config.json", rms_norm_eps=0.5)
    seen.append(_resolve(tmp_path).revision)

    assert len(set(seen)) == 3


def test_an_unknown_model_is_not_found(folder: Path, tmp_path: Path) -> None:
    assert _refusal(tmp_path, "other").code is FailureCode.MODEL_NOT_FOUND


def test_a_folder_without_a_config_is_not_a_model(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").unlink()

    assert _refusal(tmp_path).code is FailureCode.MODEL_NOT_FOUND


def test_a_link_out_of_the_model_root_is_not_followed(folder: Path, tmp_path: Path) -> None:
    outside = shutil.copytree(folder, tmp_path / "outside")
    (tmp_path / "models" / "linked").symlink_to(outside)

    assert _refusal(tmp_path, "linked").code is FailureCode.MODEL_ACCESS_DENIED


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": "own", "auto_map": {"AutoModel": "x.Y"}}),
        ("config.json", {"model_type": None, "text_config": {"inner": [{"auto_map": {}}]}}),
    ],
)
def test_a_model_with_custom_code_is_refused(file: str, changes: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    _edit(folder / file, **changes)

    refusal = _refusal(tmp_path)

    assert refusal.code is FailureCode.MODEL_UNSAFE
    assert file in refusal.detail


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]", b"[" * 100_000])
def test_a_config_that_is_not_a_json_object_is_refused(content: bytes, folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_bytes(content)

    assert _refusal(tmp_path).code is FailureCode.MODEL_UNSAFE


def test_leftover_names_of_code_are_noted_and_files_left_out_are_listed(folder: Path, tmp_path: Path) -> None:
    _edit(folder / "config.json", auto_map={"AutoModel": "x.Y"})
    _edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]})
    (folder / "modeling.py").touch()
    (folder / "adapter_config.json").touch()

    notes = " ".join(_resolve(tmp_path).notes)

    assert "config.json and tokenizer_config.json have no auto_map" in notes
    assert "adapter_config.json (adapter); modeling.py (code)" in notes


def test_an_adapter_without_its_base_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").touch()

    refusal = _refusal(tmp_path)

    assert refusal.code is FailureCode.MODEL_UNSAFE
    assert "merge" in refusal.detail


def test_a_model_without_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    assert _refusal(tmp_path).code is FailureCode.MODEL_UNSAFE


@pytest.mark.parametrize("shard", ["../model.safetensors", "/model.safetensors", "a/b.safetensors", "pytorch_model.bin", 7])
def test_an_index_with_anything_but_safetensors_is_refused(shard: object, folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))

    assert _refusal(tmp_path).code is FailureCode.MODEL_UNSAFE


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "notes"])
def test_a_link_out_of_the_model_folder_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "models" / "elsewhere"
    shutil.copy(folder / "model.safetensors", outside)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)

    refusal = _refusal(tmp_path)

    assert refusal.code is FailureCode.MODEL_UNSAFE
    assert name in refusal.detail


_CLIENT = """
import json, shutil, sys
from pathlib import Path
from service.contract.model_spec import ModelSpec
from tests.support import checkpoints
from worker.failures import JobFailure, as_failure
from worker.inputs.model_cache import in_use
from worker.inputs.models import resolve

folder, answers = Path(sys.argv[1]), {}
for model_id, allowed in json.loads(sys.argv[2]):
    settings = checkpoints.settings(folder, hub_allow=allowed)
    name, _, revision = model_id.partition("@")
    spec = ModelSpec(id=name, revision=revision or None)
    try:
        with in_use(settings.cache_dir, spec):
            model = resolve(spec, settings, tenant="acme")
        answers[model_id] = [model.revision, model.license, model.base_model, str(model.path)]
    except JobFailure as error:
        answers[model_id] = as_failure(error).model_dump(mode="json")
print(json.dumps(answers))
"""
_HUGE = 2**60  # bytes
_OPEN = (
    "cut",
    "severed",
    f"moving@{TinyHub.commit}",
    "moving@main",
    "limited",
    "huge",
    "missing",
    "private",
    "unauthorised",
    "gated",
    "forbidden",
    "pickled",
    "broken",
    "coded",
)
_ASKED = {"org/tiny": ["org/*"], "org/other": ["trusted/*"]} | {f"org/{name}": [] for name in _OPEN}


@pytest.fixture(scope="module")
def answers(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process with a real client of the hub makes of every model asked for."""
    folder = tmp_path_factory.mktemp("client")
    coded = Path(shutil.copytree(made, folder / "coded"))
    _edit(coded / "config.json", model_type="own", auto_map={"AutoModel": "modeling.Evil"})
    card = b"---\nlicense: mit\n---\n"
    with TinyHub() as hub:
        hub.add("org/tiny", made, {"README.md": card, "pytorch_model.bin": b"pickle", "modeling.py": b"evil"})
        hub.add("org/coded", coded, {})
        hub.add("org/pickled", None, {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
        hub.add("org/huge", made, {})
        hub.claim_size("org/huge", "model.safetensors", _HUGE)
        hub.refuse("org/missing", 404, "RepoNotFound")
        hub.refuse("org/private", 401, "RepoNotFound")  # the hub's answer to somebody it does not know
        hub.refuse("org/unauthorised", 401, None)
        hub.refuse("org/gated", 403, "GatedRepo")
        hub.refuse("org/forbidden", 403, None)
        hub.refuse("org/broken", 500, None)
        hub.refuse("org/limited", 429, None)
        for name in ("cut", "severed", "moving"):
            hub.add(f"org/{name}", made, {})
        hub.cuts |= {"org/cut": 1, "org/severed": 1000}
        hub.push("org/moving", "f" * 40, {"README.md": b"newer"})
        environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
        process = subprocess.run(
            [sys.executable, "-c", _CLIENT, str(folder), json.dumps(list(_ASKED.items()))],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=Path(__file__).parents[4],
            env=environment,
        )
        told: dict[str, Any] = json.loads(process.stdout)
        return told | {"fetched": hub.fetched}


def test_a_hub_model_is_pinned_and_has_no_code_or_pickles(answers: dict[str, Any], made: Path) -> None:
    commit, license_name, base_model, path = answers["org/tiny"]

    assert (commit, license_name, base_model) == (TinyHub.commit, "mit", "org/tiny")
    fetched = {file.name: file.read_bytes() for file in Path(path).iterdir()}
    assert fetched.pop("README.md").startswith(b"---")
    assert fetched == {file.name: file.read_bytes() for file in made.iterdir()}


@pytest.mark.parametrize(
    ("model_id", "code", "retryable"),
    [
        ("org/missing", "model-not-found", False),
        ("org/private", "model-not-found", False),
        ("org/unauthorised", "model-access-denied", False),
        ("org/gated", "model-access-denied", False),
        ("org/forbidden", "model-access-denied", False),
        ("org/other", "model-access-denied", False),
        ("org/pickled", "model-unsafe", False),
        ("org/coded", "model-unsafe", False),
        ("org/broken", "hub-unavailable", True),
        ("org/limited", "hub-unavailable", True),
        ("org/severed", "hub-unavailable", True),
    ],
)
def test_errors_of_the_hub_have_their_failure_codes(model_id: str, code: str, retryable: bool, answers: dict[str, Any]) -> None:
    assert (answers[model_id]["code"], answers[model_id]["retryable"]) == (code, retryable)
    assert model_id in answers[model_id]["detail"] or code == "model-unsafe"
    assert "http" not in answers[model_id]["detail"]


def test_a_model_larger_than_the_disk_is_refused_before_download(answers: dict[str, Any]) -> None:
    assert (answers["org/huge"]["code"], answers["org/huge"]["retryable"]) == ("disk-full", True)
    assert answers["org/huge"]["detail"].startswith("Fetching the model takes 1073741824.0 GiB of the worker's disk")
    assert [file for model_id, file in answers["fetched"] if model_id == "org/huge"] == []
    assert ("org/tiny", "model.safetensors") in answers["fetched"]


def test_an_interrupted_download_resumes(answers: dict[str, Any], made: Path) -> None:
    weights = Path(answers["org/cut"][3]) / "model.safetensors"
    assert weights.read_bytes() == (made / "model.safetensors").read_bytes()


def test_a_pinned_commit_is_unchanged_when_the_branch_moves(answers: dict[str, Any]) -> None:
    assert answers[f"org/moving@{TinyHub.commit}"][0] == TinyHub.commit
    assert not (Path(answers[f"org/moving@{TinyHub.commit}"][3]) / "README.md").exists()
    assert answers["org/moving@main"][0] == "f" * 40


def test_a_cached_gated_model_is_read_only_with_a_token_that_may_read_it(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = checkpoints.settings(tmp_path, hub_tokens_dir=tmp_path / "tokens")
    (tmp_path / "tokens" / "acme").mkdir(parents=True)
    (tmp_path / "tokens" / "acme" / "research").write_text("hf_planted")
    with TinyHub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.add("org/closed", made, {}, token="hf_planted")
        ours = ModelSpec(source="hub", id="org/closed", revision=hub.commit, token="research")
        assert resolve(ours, settings, tenant="acme").path.is_dir()
        downloads = len(hub.fetched)
        with pytest.raises(ModelError) as caught:
            resolve(ours.model_copy(update={"token": None}), settings, tenant="other")
        assert caught.value.code == FailureCode.MODEL_ACCESS_DENIED
        assert resolve(ours, settings, tenant="acme").path.is_dir()
        hub.refuse("org/closed", 500, None)
        with pytest.raises(ModelError) as caught:
            resolve(ours, settings, tenant="acme")
        assert caught.value.code == FailureCode.HUB_UNAVAILABLE
        assert len(hub.fetched) == downloads, "the cache answers whoever may read"  # style: allow
