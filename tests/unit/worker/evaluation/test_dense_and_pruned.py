"""A dense and a pruned checkpoint on a sample of text, held against plain transformers, and what a second job saves."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from service.contract.failures import FailureCode
from service.contract.spec import EvaluationSpec
from tests.support import checkpoints
from worker.engine import Perplexity
from worker.evaluation.baselines import Baselines
from worker.evaluation.models import DenseAndPruned
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.texts import EvaluationText, read_all
from worker.failures import JobFailure
from worker.inputs.datasets import Texts, read_text

LENGTH, WINDOWS = 48, 6


T_OF_FIVE = 2.570582  # Student's t at 97.5 % with one degree of freedom less than there are windows, from a table


class Progress:
    """Counts blocks, and the evaluations that were not needed."""

    def __init__(self) -> None:
        self.blocks = self.skipped = 0
        self.measured: list[tuple[int, int]] = []

    def tick(self) -> None: ...

    def block_started(self, *_about: object) -> None: ...

    def block_finished(self, *_about: object) -> None:
        self.blocks += 1

    def windows_measured(self, done: int, total: int) -> None:
        self.measured.append((done, total))

    def skip_evaluation(self) -> None:
        self.skipped += 1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second column of the first block's matrices is zero."""
    folder = tmp_path_factory.mktemp("pruned")
    built = checkpoints.build()
    with torch.no_grad():
        for parameter in built.model.layers[0].parameters():
            if parameter.ndim == 2:
                parameter[:, ::2] = 0
    built.save_pretrained(folder)
    checkpoints.tokenizer().save_pretrained(folder)
    return folder


def _spec(**changes: object) -> EvaluationSpec:
    return EvaluationSpec.model_validate(
        {"perplexity": ["wiki-sample"], "sequence_length": LENGTH, "max_windows": WINDOWS} | changes
    )


def _both(model: Path, cache: Path, spec: EvaluationSpec) -> DenseAndPruned:
    return DenseAndPruned(
        texts=read_all(model, spec, Texts(cache)),
        agreement_windows=spec.agreement_windows,
        device="cpu",
        scratch=cache / "activations",
        baselines=Baselines(cache, source="hash", device=torch.device("cpu")),
        progress=Progress(),  # type: ignore[arg-type]  # what it does is the reporter's
    )


def _losses(model: Path, windows: torch.Tensor) -> list[float]:
    oracle = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        return [float(oracle(window[None], labels=window[None]).loss) for window in windows]


def _error(values: Any) -> float:
    """The standard error of the mean."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def test_results_match_plain_transformers_on_the_same_text(model: Path, pruned: Path, tmp_path: Path) -> None:
    text = "\n\n".join(read_text("wiki-sample:test", tmp_path))
    ids = AutoTokenizer.from_pretrained(model)(text, return_tensors="pt").input_ids[0]
    windows = ids[: LENGTH * WINDOWS].view(WINDOWS, LENGTH)
    before, after = np.array(_losses(model, windows)), np.array(_losses(pruned, windows))

    both = _both(model, tmp_path, _spec())
    [dense], [metric] = both.dense(model), both.pruned(pruned)

    assert dense.dataset == metric.dataset == "wiki-sample:test"
    assert (metric.sequence_length, metric.windows, metric.tokens) == (LENGTH, WINDOWS, WINDOWS * (LENGTH - 1))
    assert metric.dropped_tokens == len(ids) - LENGTH * WINDOWS
    for found, losses in ((dense, before), (metric, after)):
        assert found.mean_nll == pytest.approx(losses.mean(), rel=1e-5)
        assert found.perplexity == pytest.approx(math.exp(losses.mean()), rel=1e-5)
        assert found.standard_error == pytest.approx(_error(losses), rel=1e-3)
        reach = T_OF_FIVE * _error(losses)
        assert found.ci95 == pytest.approx((math.exp(losses.mean() - reach), math.exp(losses.mean() + reach)), rel=1e-5)
    assert dense.loss_difference is None
    assert metric.loss_difference is not None
    added, reach = (after - before).mean(), T_OF_FIVE * _error(after - before)
    assert metric.loss_difference.mean == pytest.approx(added, rel=1e-3)
    assert metric.loss_difference.standard_error == pytest.approx(_error(after - before), rel=1e-3)
    assert metric.loss_difference.ci95 == pytest.approx((added - reach, added + reach), rel=1e-2)


def test_agreement_is_reported_for_the_first_windows(model: Path, pruned: Path, tmp_path: Path) -> None:
    both = _both(model, tmp_path, _spec(perplexity=["wiki-sample", "c4-sample"], agreement_windows=4))
    both.dense(model)
    both.pruned(pruned)
    assert [(each.dataset, each.windows, each.tokens) for each in both.agreement] == [
        ("wiki-sample:test", 4, 4 * (LENGTH - 1)),
        ("c4-sample:test", 4, 4 * (LENGTH - 1)),
    ]
    for each, text in zip(both.agreement, both.texts, strict=True):
        windows = text.windows[:4]
        with torch.no_grad():
            p, q = (
                AutoModelForCausalLM.from_pretrained(path).double()(windows).logits[:, :-1].log_softmax(-1)
                for path in (model, pruned)
            )
        kl = (p.exp() * (p - q)).sum(-1).mean(1).numpy()
        same = (p.argmax(-1) == q.argmax(-1)).double().mean(1).numpy()
        assert each.kl_divergence == pytest.approx(kl.mean(), rel=1e-4)
        assert each.kl_standard_error == pytest.approx(_error(kl), rel=1e-3)
        assert each.kl_p99 > each.kl_divergence
        assert each.top1_agreement == pytest.approx(same.mean())
        assert each.top1_standard_error == pytest.approx(_error(same))


def test_windows_are_counted_once_per_measurement(model: Path, pruned: Path, tmp_path: Path) -> None:
    both = _both(model, tmp_path, _spec(agreement_windows=4))
    progress = both.progress
    assert isinstance(progress, Progress)
    both.dense(model)
    assert progress.measured == [(done, WINDOWS) for done in range(1, WINDOWS + 1)]
    progress.measured.clear()
    both.pruned(pruned)
    assert progress.measured == [(done, WINDOWS + 4) for done in range(1, WINDOWS + 5)]


@pytest.mark.parametrize("wanted", [0, 4])
def test_a_second_job_reuses_the_dense_losses(
    model: Path, pruned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", LENGTH)
    spec = _spec(agreement_windows=wanted)
    first, second = _both(model, tmp_path, spec), _both(model, tmp_path, spec)
    anew, results = first.dense(model), first.pruned(pruned)

    [known] = second.dense(model)

    assert [known] == [anew[0].model_copy(update={"cached": True})]
    assert (first.spared_tokens, second.spared_tokens) == (0, (WINDOWS - wanted) * LENGTH)
    assert second.pruned(pruned) == results
    assert second.agreement == first.agreement
    assert len(second.agreement) == (1 if wanted else 0)
    told = json.loads(known.model_dump_json())
    assert (told["cached"], told["mean_nll"]) == (True, anew[0].mean_nll)
    progress = second.progress
    assert isinstance(progress, Progress)
    assert (progress.blocks, progress.skipped) == ((4, 0) if wanted else (2, 1))


def test_a_pruned_model_alone_is_measured_without_a_difference(model: Path, pruned: Path, tmp_path: Path) -> None:
    both = _both(model, tmp_path, _spec())
    [metric] = both.pruned(pruned)
    assert metric.loss_difference is None
    assert both.agreement == []


def test_a_single_window_has_no_interval(model: Path, pruned: Path, tmp_path: Path) -> None:
    both = _both(model, tmp_path, _spec(max_windows=1))
    [dense], [metric] = both.dense(model), both.pruned(pruned)
    for found in (dense, metric):
        assert (found.windows, found.standard_error, found.ci95) == (1, None, None)
    assert metric.loss_difference is not None
    assert metric.loss_difference.mean == pytest.approx(metric.mean_nll - dense.mean_nll)
    assert metric.loss_difference.ci95 is None
    assert both.agreement[0].kl_standard_error is None


def test_data_sets_are_measured_in_the_requested_order(model: Path, tmp_path: Path) -> None:
    both = _both(model, tmp_path, _spec(perplexity=["wiki-sample", "c4-sample", "wiki-sample"]))
    metrics = both.dense(model)
    both.pruned(model)
    assert [metric.dataset for metric in metrics] == ["wiki-sample:test", "c4-sample:test", "wiki-sample:test"]
    assert [metric.cached for metric in metrics] == [False, False, True]
    assert [each.kl_divergence for each in both.agreement] == [0, 0, 0]


def test_a_bos_token_in_the_text_is_reported(tmp_path: Path) -> None:
    for adds_bos in (False, True):
        folder = tmp_path / str(adds_bos)
        checkpoints.build().save_pretrained(folder)
        checkpoints.tokenizer(adds_bos=adds_bos).save_pretrained(folder)
        [text] = read_all(folder, _spec(), Texts(tmp_path))
        assert text.begins_with_bos is adds_bos
        assert (text.windows == checkpoints.BOS).sum() == adds_bos  # no window has one of its own
        [metric] = _both(folder, tmp_path, _spec()).dense(folder)
        assert metric.begins_with_bos is adds_bos


def test_an_empty_request_measures_nothing(model: Path, tmp_path: Path) -> None:
    both = _both(model, tmp_path, _spec(perplexity=[]))
    assert (both.dense(model), both.pruned(model), both.agreement) == ([], [], [])


def test_a_text_shorter_than_one_window_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.inputs.datasets.read_text", lambda *_: ["short"])

    with pytest.raises(JobFailure, match="5 tokens") as caught:
        read_all(model, _spec(), Texts(tmp_path))

    assert caught.value.code is FailureCode.INVALID_REQUEST


def test_a_tokenizer_incompatible_with_the_model_is_refused(tmp_path: Path) -> None:
    checkpoints.build(vocab_size=100, bos_token_id=1, eos_token_id=2).save_pretrained(tmp_path)
    checkpoints.tokenizer().save_pretrained(tmp_path)

    with pytest.raises(JobFailure, match=r"tokenizer does not fit it: id .* has 100 entries") as caught:
        read_all(tmp_path, _spec(), Texts(tmp_path))

    assert caught.value.code is FailureCode.INVALID_REQUEST


TEXT = EvaluationText("wiki-sample:test", torch.zeros(2, 4, dtype=torch.int64), 0, False)


def test_an_infinite_perplexity_is_a_failure() -> None:
    with pytest.raises(JobFailure) as caught:
        PerplexityMetric.of(TEXT, Perplexity.of(torch.tensor([900.0, 900.0], dtype=torch.float64), 4))

    assert caught.value.code is FailureCode.NUMERICAL_FAILURE


def test_an_interval_with_an_infinite_end_is_omitted() -> None:
    metric = PerplexityMetric.of(TEXT, Perplexity.of(torch.tensor([1.0, 400.0], dtype=torch.float64), 4))
    assert metric.ci95 is None
    assert metric.standard_error == pytest.approx(199.5)
