"""Perplexity of a checkpoint on a sample, held against plain transformers."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from service.contract import FailureCode
from service.contract.spec import EvaluationSpec
from tests.unit.worker import checkpoints
from worker.engine import Perplexity
from worker.evaluation import perplexity
from worker.evaluation.perplexity import evaluate
from worker.failures import JobFailure
from worker.texts import Texts, read_text

LENGTH, WINDOWS = 48, 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"))


def _spec(**changes: object) -> EvaluationSpec:
    return EvaluationSpec.model_validate({"sequence_length": LENGTH, "max_windows": WINDOWS} | changes)


def test_it_is_what_plain_transformers_computes_on_the_same_text(model: Path, tmp_path: Path) -> None:
    texts = Texts(tmp_path)
    oracle = AutoModelForCausalLM.from_pretrained(model)
    text = "\n\n".join(read_text("wiki-sample:test", tmp_path))
    ids = AutoTokenizer.from_pretrained(model)(text, return_tensors="pt").input_ids[0]
    with torch.no_grad():
        windows = [ids[None, LENGTH * index : LENGTH * (index + 1)] for index in range(WINDOWS)]
        losses = [float(oracle(window, labels=window).loss) for window in windows]

    [metric] = evaluate(model, _spec(perplexity=["wiki-sample"]), texts, device="cpu")

    assert metric.dataset == "wiki-sample:test"
    assert (metric.sequence_length, metric.windows, metric.tokens) == (LENGTH, WINDOWS, WINDOWS * (LENGTH - 1))
    assert metric.mean_nll == pytest.approx(sum(losses) / WINDOWS, rel=1e-5)
    assert metric.perplexity == pytest.approx(math.exp(sum(losses) / WINDOWS), rel=1e-5)


def test_every_data_set_is_measured_in_the_order_asked_and_the_same_twice(model: Path, tmp_path: Path) -> None:
    spec, texts = _spec(perplexity=["wiki-sample", "c4-sample"]), Texts(tmp_path)

    metrics = evaluate(model, spec, texts, device="cpu")

    assert [metric.dataset for metric in metrics] == ["wiki-sample:test", "c4-sample:test"]
    assert metrics == evaluate(model, spec, texts, device="cpu")


def test_nothing_asked_is_nothing_measured(model: Path, tmp_path: Path) -> None:
    assert evaluate(model, _spec(perplexity=[]), Texts(tmp_path)) == []


def test_a_text_shorter_than_one_window_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.texts.read_text", lambda *_: ["short"])

    with pytest.raises(JobFailure, match="5 tokens") as caught:
        evaluate(model, _spec(perplexity=["wiki-sample"]), Texts(tmp_path))

    assert caught.value.code is FailureCode.INVALID_REQUEST


def test_a_perplexity_beyond_all_numbers_is_a_failure_and_not_a_figure(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: Path, windows: torch.Tensor, **_options: object) -> Perplexity:
        return Perplexity(math.inf, 900.0, len(windows), windows.numel())

    monkeypatch.setattr(perplexity, "perplexity", broken)

    with pytest.raises(JobFailure) as caught:
        evaluate(model, _spec(perplexity=["wiki-sample"]), Texts(tmp_path))

    assert caught.value.code is FailureCode.NUMERICAL_FAILURE
