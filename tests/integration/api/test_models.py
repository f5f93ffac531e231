"""Models that cannot work are refused before a job is made of them."""

import json
from pathlib import Path
from typing import Any

import httpx

from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import client, key_for, problem, serving
from tests.support.local_models import CONFIG, LOCAL, make_model


def with_model(model_id: str, **parts: Any) -> dict[str, Any]:
    return LOCAL | {"model": {"source": "local", "id": model_id}} | parts


def test_a_compatible_local_model_is_admitted(api: httpx.Client, settings: Settings) -> None:
    make_model(settings.model_root, "org/tiny", CONFIG)
    assert api.post("/v1/jobs", json=LOCAL).status_code == 201


def test_incompatible_local_models_are_refused(api: httpx.Client, settings: Settings, tmp_path: Path) -> None:
    root = settings.model_root
    nested = {"text_config": {"hidden_size": 64, "auto_map": {"AutoConfig": "x.Y"}}}
    make_model(root, "code", CONFIG | {"auto_map": {"AutoModel": "modeling.Evil"}})
    make_model(root, "nested-code", CONFIG | nested)
    make_model(root, "deep-code", '{"a":' + '{"a":' * 400 + '{"auto_map":1}' + "}" * 401)
    make_model(root, "pickled", CONFIG, weights="pytorch_model.bin")
    make_model(root, "broken", "{")
    make_model(root, "bottomless", "[" * 100_000)
    make_model(root, "listed", [])
    make_model(root, "huge", json.dumps(CONFIG | {"x": "y" * (1 << 20)}))
    (root / "empty").mkdir()
    (root / "file").touch()
    make_model(tmp_path / "elsewhere", "secret", CONFIG)
    (root / "link").symlink_to(tmp_path / "elsewhere" / "secret")
    (root / "loop").symlink_to(root / "loop")
    unsafe = ["code", "nested-code", "deep-code", "pickled", "broken", "bottomless", "listed", "huge", "empty"]
    expected = dict.fromkeys(unsafe, "model-unsafe") | dict.fromkeys(["nowhere", "file", "link", "loop"], "model-not-found")
    found = {name: problem(api.post("/v1/jobs", json=with_model(name))) for name in expected}
    assert found == {name: (422, kind, ["/model/id"]) for name, kind in expected.items()}


def test_windows_longer_than_the_model_supports_are_refused(api: httpx.Client, settings: Settings) -> None:
    make_model(settings.model_root, "plain", CONFIG)
    make_model(settings.model_root, "composed", {"text_config": CONFIG})
    make_model(settings.model_root, "gpt2", {"n_positions": 128})
    make_model(settings.model_root, "silent", {})
    long, short = {"dataset": "c4-sample", "sequence_length": 129}, {"dataset": "c4-sample", "sequence_length": 128}
    for name in ("plain", "composed", "gpt2"):
        refused = api.post("/v1/jobs", json=with_model(name, calibration=long))
        assert problem(refused) == (422, "invalid-input", ["/calibration/sequence_length"])
        assert api.post("/v1/jobs", json=with_model(name, calibration=short)).status_code == 201
    long_windows = {"perplexity": ["wiki-sample"], "sequence_length": 129}
    refused = api.post("/v1/jobs", json=with_model("plain", evaluation=long_windows))
    assert problem(refused) == (422, "invalid-input", ["/evaluation/sequence_length"])
    unused = long_windows | {"perplexity": []}
    assert api.post("/v1/jobs", json=with_model("plain", evaluation=unused)).status_code == 201
    assert api.post("/v1/jobs", json=with_model("silent", calibration=long)).status_code == 201


def test_groups_that_fit_some_matrices_give_a_warning_and_those_that_fit_none_are_refused(
    api: httpx.Client, settings: Settings
) -> None:
    make_model(settings.model_root, "org/tiny", CONFIG)

    def of(m: int, *, plan: bool = False) -> httpx.Response:
        body = LOCAL | {"recipe": {"pattern": {"type": "n:m", "n": 1, "m": m}}}
        return api.post("/v1/jobs", params={"validate_only": plan}, json=body)

    assert [of(m).status_code for m in (2, 32, 64)] == [201, 201, 201]  # 64 divides 64 but not 96
    assert "1 matrix stays dense" in " ".join(of(64, plan=True).json()["warnings"])
    assert "dense" not in " ".join(of(32, plan=True).json()["warnings"])
    refused = of(5)
    assert problem(refused) == (422, "invalid-input", ["/recipe/pattern/m"])
    assert "64, 96" in refused.json()["detail"]


def test_an_incomplete_checkpoint_is_refused_and_one_without_a_head_only_if_it_is_needed(
    api: httpx.Client, settings: Settings
) -> None:
    make_model(settings.model_root, "cut", CONFIG | {"num_hidden_layers": 2})
    make_model(settings.model_root, "headless", CONFIG | {"vocab_size": 500, "tie_word_embeddings": False})
    refused = api.post("/v1/jobs", json=with_model("cut"))
    assert problem(refused) == (422, "architecture-unsupported", ["/model/id"])
    refused = api.post("/v1/jobs", json=with_model("headless"))
    assert problem(refused) == (422, "invalid-input", ["/evaluation/perplexity"])
    assert "language-model head" in refused.json()["detail"]
    assert api.post("/v1/jobs", json=with_model("headless", evaluation={"perplexity": []})).status_code == 201
    seen = api.get("/v1/models/inspect", params={"source": "local", "id": "headless"}).json()
    assert seen["can_be_pruned"]
    assert "no language-model head" in " ".join(seen["warnings"])


def test_without_a_model_root_workers_check_local_models(settings: Settings, database: Database) -> None:
    elsewhere = settings.model_copy(update={"model_root": settings.model_root / "only-on-workers"})
    with serving(elsewhere) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        assert api.post("/v1/jobs", json=LOCAL).status_code == 201


def test_hub_models_can_be_restricted_to_patterns(settings: Settings, database: Database) -> None:
    limited = settings.model_copy(update={"hub_allow": ["meta-llama/*", "gpt2"]})
    with serving(limited) as url, client(url, key_for(database, Scope.ADMIN)) as api:
        answers = {m: api.post("/v1/jobs", json={"model": {"id": m}}) for m in ("meta-llama/x", "gpt2", "gpt2-xl", "evil/gpt2")}
        assert {m: a.status_code for m, a in answers.items()} == {
            "meta-llama/x": 201,
            "gpt2": 201,
            "gpt2-xl": 422,
            "evil/gpt2": 422,
        }
        assert problem(answers["gpt2-xl"]) == (422, "model-not-allowed", ["/model/id"])
