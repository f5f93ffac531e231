import math
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForCausalLM

from tests.support.engine import families
from tests.support.engine.observers import Watcher
from worker.engine import perplexity
from worker.engine.errors import NumericalFailure

Checkpoints = Callable[[str], Path]


def by_transformers(folder: Path, windows: torch.Tensor) -> float:
    """The whole model, one window at a time, with the loss that transformers computes."""
    model = families.load(folder)
    length = windows.shape[1]
    with torch.no_grad():
        losses = [float(model(input_ids=w[None], labels=w[None], use_cache=False).loss) * length for w in windows]
    return math.exp(sum(losses) / (len(windows) * length))


@pytest.mark.parametrize("family", families.FAMILIES)
@pytest.mark.parametrize("logits_at_a_time", [1 << 24, 5 * families.VOCABULARY])
def test_perplexity_matches_the_whole_model(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch, family: str, logits_at_a_time: int
) -> None:
    monkeypatch.setattr(import_module("worker.engine.evaluation.perplexity"), "LOSS_LOGITS", logits_at_a_time)
    windows = families.tokens(samples=3)
    measured = perplexity(checkpoint(family), windows, device="cpu")
    assert measured.value == pytest.approx(by_transformers(checkpoint(family), windows), rel=1e-5)
    assert measured.value == pytest.approx(math.exp(measured.mean_nll))
    assert (measured.windows, measured.tokens) == (3, 3 * (families.LENGTH - 1))


@pytest.mark.parametrize("family", ["llama_tied", "gemma2", "opt"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_with_transformers(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    source = families.save(family, tmp_path, dtype=dtype)
    windows = families.tokens(samples=3)
    measured = perplexity(source, windows, device="cpu").value
    assert measured == pytest.approx(by_transformers(source, windows), rel=2e-2)


def test_uneven_batches_lose_no_window(checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", 2 * families.LENGTH)
    windows = families.tokens(samples=5)
    measured = perplexity(checkpoint("falcon_alibi"), windows, device="cpu").value
    assert measured == pytest.approx(by_transformers(checkpoint("falcon_alibi"), windows), rel=1e-5)


def test_the_observer_is_notified_of_every_block_and_can_stop(checkpoint: Checkpoints) -> None:
    watcher = Watcher()
    perplexity(checkpoint("llama"), families.tokens(), device="cpu", observer=watcher)
    assert [told[:3] for told in watcher.told if told[0] == "finished"] == [("finished", i, 3) for i in range(3)]
    with pytest.raises(InterruptedError):
        perplexity(checkpoint("llama"), families.tokens(), device="cpu", observer=Watcher(stop_at=watcher.ticks))


def test_windows_too_short_to_predict_a_token_are_refused(checkpoint: Checkpoints) -> None:
    with pytest.raises(ValueError, match="Tokens"):
        perplexity(checkpoint("llama"), torch.zeros(2, 1, dtype=torch.int64), device="cpu")


def test_a_head_with_nonfinite_output_is_reported(checkpoint: Checkpoints, tmp_path: Path) -> None:
    shutil.copytree(checkpoint("llama"), tmp_path / "m")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors["lm_head.weight"][:] = float("nan")
    save_file(tensors, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    with pytest.raises(NumericalFailure, match="head"):
        perplexity(tmp_path / "m", families.tokens(), device="cpu")


def test_losses_over_a_large_vocabulary_are_exact(tmp_path: Path) -> None:
    """Against float64. A softmax that sums 60,000 numbers one after the other in float32 is off by 1e-5 and more."""
    config = families.FAMILIES["llama_tied"]()
    config.vocab_size = 60_000
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    model.save_pretrained(tmp_path)
    windows = families.tokens(samples=3)
    with torch.no_grad():
        logits = model.double()(input_ids=windows, use_cache=False).logits
    exact = float(functional.cross_entropy(logits[:, :-1].flatten(0, 1), windows[:, 1:].flatten()))
    assert perplexity(tmp_path, windows, device="cpu").mean_nll == pytest.approx(exact, abs=2e-6)
