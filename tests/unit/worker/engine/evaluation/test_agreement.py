"""KL divergence and top-1 agreement, held against both whole models at once, in float64."""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from tests.support.engine import families, tiny_decoders
from worker.engine import Agreement, Recipe, evaluate, final_states, sparsify
from worker.engine.errors import NumericalFailure
from worker.engine.evaluation.agreement import divergence

Checkpoints = Callable[[str], Path]
MANY = 1 << 22
WINDOWS = families.tokens(samples=5)
COUNT = 3


def pruned(source: Path, target: Path) -> Path:
    sparsify(source, target, Recipe.from_dict({"preset": "fast"}), families.tokens(seed=1), device="cpu")
    return target


def measured(source: Path, target: Path, windows: Tensor = WINDOWS, count: int = COUNT) -> Agreement:
    states = evaluate(source, windows, device="cpu", keep=count).states
    found = evaluate(target, windows, device="cpu", dense=states).agreement
    assert found is not None
    return found


def in_double(folder: Path) -> Any:
    """The whole model; its experts one by one, as their products together are made in float32 only."""
    return AutoModelForCausalLM.from_pretrained(folder, experts_implementation="eager").eval().double()


def by_transformers(source: Path, target: Path, windows: Tensor) -> tuple[Tensor, Tensor]:
    """KL and whether the likeliest token is the same, (windows, L − 1), from logits of the whole models."""
    with torch.no_grad():
        logits = [
            in_double(path)(input_ids=windows, use_cache=False).logits[:, : windows.shape[1] - 1] for path in (source, target)
        ]
    p, q = (functional.softmax(each.double(), dim=-1) for each in logits)
    return (p * (p / q).log()).sum(dim=-1), p.argmax(dim=-1) == q.argmax(dim=-1)


def assert_agrees(found: Agreement, kl: Tensor, same: Tensor) -> None:
    assert (found.windows, found.tokens) == (len(kl), kl.numel())
    assert found.divergences == pytest.approx(kl.mean(dim=1).tolist(), rel=1e-4)
    assert found.matches == pytest.approx(same.double().mean(dim=1).tolist())
    assert found.divergence_p99 == pytest.approx(np.quantile(kl.numpy(), 0.99, method="inverted_cdf"), rel=1e-4)
    assert 0 < float(same.double().mean()) < 1  # else nothing is told by that


@pytest.mark.parametrize("logits_at_a_time", [MANY, 5 * families.VOCABULARY])
@pytest.mark.parametrize("family", ["llama_tied", "gemma2", "opt", "falcon_alibi"])
def test_agreement_matches_both_whole_models(
    checkpoint: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, logits_at_a_time: int
) -> None:
    monkeypatch.setattr(import_module("worker.engine.evaluation.agreement"), "COMPARED_LOGITS", logits_at_a_time)
    source = checkpoint(family)
    target = pruned(source, tmp_path / "target")
    kl, same = by_transformers(source, target, WINDOWS[:COUNT])
    assert_agrees(measured(source, target), kl, same)


@pytest.mark.parametrize("model_type", ["gpt2", "gemma3n_text", "mixtral"])
def test_streams_and_experts_are_compared_alike(tmp_path: Path, model_type: str) -> None:
    source = tmp_path / "source"
    tiny_decoders.save(model_type, source)
    target = pruned(source, tmp_path / "target")
    kl, same = by_transformers(source, target, WINDOWS[:COUNT])
    assert_agrees(measured(source, target), kl, same)


def test_different_batch_sizes_change_nothing(checkpoint: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when one of them had too little memory for the usual ones."""
    source = checkpoint("opt")
    target = pruned(source, tmp_path / "target")
    expected = measured(source, target)
    states = evaluate(source, WINDOWS, device="cpu", keep=COUNT).states
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", 2 * families.LENGTH)
    found = evaluate(target, WINDOWS, device="cpu", dense=states).agreement
    assert found is not None
    assert found.divergences == pytest.approx(expected.divergences, rel=1e-5)


@pytest.mark.parametrize("family", ["llama", "opt"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_states_of_the_first_windows_have_the_same_bits(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch, family: str, count: int
) -> None:
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", 2 * families.LENGTH)
    kept = evaluate(checkpoint(family), WINDOWS, device="cpu", keep=count).states
    alone = final_states(checkpoint(family), WINDOWS, count, device="cpu")
    assert kept is not None
    assert (kept.sizes, kept.count) == (alone.sizes, alone.count)
    assert kept.count == min(count, 5)
    assert sum(kept.sizes) - kept.count < 2
    assert all(torch.equal(one, other) for one, other in zip(kept.states, alone.states, strict=True))


def test_a_model_agrees_fully_with_itself(checkpoint: Checkpoints) -> None:
    found = measured(checkpoint("llama"), checkpoint("llama"))
    assert (set(found.divergences), set(found.matches), found.divergence_p99) == ({0.0}, {1.0}, 0.0)


def test_perplexity_is_equal_with_and_without_comparison(checkpoint: Checkpoints, tmp_path: Path) -> None:
    target = pruned(checkpoint("llama"), tmp_path / "target")
    alone = evaluate(target, WINDOWS, device="cpu")
    states = evaluate(checkpoint("llama"), WINDOWS, device="cpu", keep=COUNT).states
    assert evaluate(target, WINDOWS, device="cpu", dense=states).perplexity == alone.perplexity
    assert (alone.states, alone.agreement) == (None, None)


def test_divergence_is_nonnegative_and_handles_zero_probability() -> None:
    logits = torch.randn(50, 40) * 100
    kl = divergence(logits, logits + 1e-6 * torch.randn(50, 40))
    assert (kl >= 0).all()
    assert kl.isfinite().all()


def test_nonfinite_logits_are_reported(checkpoint: Checkpoints, tmp_path: Path) -> None:
    shutil.copytree(checkpoint("llama"), tmp_path / "m")
    states = evaluate(checkpoint("llama"), WINDOWS, device="cpu", keep=COUNT).states
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors["lm_head.weight"][:] = float("nan")
    save_file(tensors, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    with pytest.raises(NumericalFailure, match="logits"):
        evaluate(tmp_path / "m", WINDOWS, device="cpu", dense=states)
