"""What a job has published, used as others use checkpoints: by transformers with and without accelerate, lm_eval, safetensors."""

import json
import math
import threading
from pathlib import Path

import accelerate
import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support import checkpoints
from tests.support.job_rows import insert_job, job_row
from worker.attempt.runner import work

TEXT = "The artifact of a job loads wherever its source does."


@pytest.fixture
def source(settings: Settings) -> Path:
    return checkpoints.save(settings.model_root / "tiny", max_position_embeddings=512)


@pytest.fixture
def artifact(settings: Settings, database: Database, source: Path) -> Path:
    job_id = insert_job(database)
    assert work(settings, threading.Event())
    job = job_row(database, job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    return Path(settings.artifact_url.removeprefix("file://")) / str(job.artifact_prefix)


def test_transformers_loads_equally_with_and_without_accelerate(artifact: Path, source: Path) -> None:
    ids = AutoTokenizer.from_pretrained(artifact)(TEXT, return_tensors="pt").input_ids
    assert torch.equal(ids, AutoTokenizer.from_pretrained(source)(TEXT, return_tensors="pt").input_ids)
    plain = AutoModelForCausalLM.from_pretrained(artifact)
    with accelerate.init_empty_weights():
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(artifact))
    placed = accelerate.load_checkpoint_and_dispatch(empty, artifact, device_map={"": "cpu"})
    automatic = AutoModelForCausalLM.from_pretrained(artifact, device_map="auto")

    with torch.inference_mode():
        logits = plain(ids).logits
        assert torch.equal(placed(ids).logits, logits)
        assert torch.equal(automatic(ids.to(automatic.device)).logits.cpu(), logits)
    layers = [value for name, value in plain.named_parameters() if name.endswith("proj.weight")]
    assert sum(int((value == 0).sum()) for value in layers) == sum(value.numel() for value in layers) / 2


def test_lm_eval_scores_match_transformers(artifact: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=str(artifact), device="cpu", batch_size=1)
    [(score, _)] = harness.loglikelihood([Instance("loglikelihood", {}, (TEXT[:20], TEXT[20:]), 0)])

    tokenizer, model = AutoTokenizer.from_pretrained(artifact), AutoModelForCausalLM.from_pretrained(artifact)
    context, whole = (tokenizer(text, return_tensors="pt").input_ids for text in (TEXT[:20], TEXT))
    with torch.inference_mode():
        chances = model(whole).logits[0, :-1].float().log_softmax(dim=-1).gather(1, whole[0, 1:, None])
    assert math.isclose(score, float(chances[context.shape[1] - 1 :].sum()), rel_tol=1e-4)


def test_safetensors_reads_the_tensors_of_the_source(artifact: Path, source: Path) -> None:
    with safe_open(artifact / "model.safetensors", "pt") as after, safe_open(source / "model.safetensors", "pt") as before:
        assert set(after.keys()) == set(before.keys())
        for name in before.keys():  # noqa: SIM118  # it is no mapping
            old, new = before.get_slice(name), after.get_slice(name)
            assert (new.get_shape(), new.get_dtype()) == (old.get_shape(), old.get_dtype())


def test_the_config_is_copied_byte_for_byte(artifact: Path, source: Path) -> None:
    assert (artifact / "config.json").read_bytes() == (source / "config.json").read_bytes()
    assert "quantization_config" not in json.loads((artifact / "config.json").read_bytes())
