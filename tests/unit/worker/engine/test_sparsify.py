import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.support.engine import families, oracles, tiny_decoders
from tests.support.engine.observers import Watcher
from worker.engine import Recipe, SparsityReport, outline, sparsify
from worker.engine.errors import ArchitectureUnsupported, NumericalFailure

Checkpoints = Callable[[str], Path]
WANDA = {"refinement": {"method": "none"}}
TWO_OF_FOUR = {"pattern": {"type": "n:m", "n": 2, "m": 4}}


def run(source: Path, target: Path, recipe: dict[str, Any] | None = None, **more: Any) -> SparsityReport:
    tokens = more.pop("tokens", families.tokens())
    return sparsify(source, target, Recipe.from_dict({"criterion": "wanda"} | (recipe or {})), tokens, device="cpu", **more)


def weights(folder: Path) -> dict[str, Tensor]:
    merged: dict[str, Tensor] = {}
    for file in folder.glob("*.safetensors"):
        merged |= load_file(file)
    return merged


def inputs_of(model: Any, names: list[str], tokens: Tensor) -> dict[str, Tensor]:
    """What layers are given when the whole model runs, one sample at a time: each (samples, tokens, in) float64."""
    seen: dict[str, list[Tensor]] = {name: [] for name in names}

    def note(name: str, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen[name].append(arguments[0].reshape(tokens.shape[1], -1))

    handles = [module_of(model, name).register_forward_pre_hook(partial(note, name)) for name in names]
    with torch.no_grad():
        for sample in tokens:
            model(input_ids=sample[None], use_cache=False)
    for handle in handles:
        handle.remove()
    return {name: torch.stack(inputs).double() for name, inputs in seen.items()}


def module_of(model: Any, name: str) -> nn.Linear:
    layer = model.get_submodule(name.removesuffix(".weight"))
    assert isinstance(layer, nn.Linear)
    return layer


@pytest.mark.parametrize("family", families.FAMILIES)
def test_only_reported_matrices_change_with_the_reported_zeros(checkpoint: Checkpoints, tmp_path: Path, family: str) -> None:
    report = run(checkpoint(family), tmp_path)
    before, after = weights(checkpoint(family)), weights(tmp_path)
    assert {n: (t.dtype, t.shape) for n, t in after.items()} == {n: (t.dtype, t.shape) for n, t in before.items()}
    pruned = {matrix.name: matrix for matrix in report.matrices}
    assert [(m.name, m.shape) for m in report.matrices] == list(outline(checkpoint(family)).matrices)
    for name, tensor in after.items():
        if name in pruned:
            assert (tensor == 0).double().mean().item() == pytest.approx(pruned[name].sparsity, abs=1e-12)
            assert torch.equal(tensor, before[name].where(tensor != 0, torch.zeros(())))
        else:
            assert torch.equal(tensor, before[name])
    zeros = sum(int((after[name] == 0).sum()) for name in pruned)
    assert report.sparsity == pytest.approx(zeros / sum(after[name].numel() for name in pruned))
    assert report.sparsity == pytest.approx(0.5)
    assert report.coverage >= 0.95
    json.dumps(report.to_dict())


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_block_sees_the_inputs_of_the_pruned_blocks_before(checkpoint: Checkpoints, tmp_path: Path, family: str) -> None:
    """The whole model in transformers with plain hooks, its first blocks replaced by pruned ones."""
    report = run(checkpoint(family), tmp_path, WANDA)
    model, pruned, tokens = families.load(checkpoint(family)), families.load(tmp_path), families.tokens()
    per_block = len(report.matrices) // 3
    for start in range(0, len(report.matrices), per_block):
        block = report.matrices[start : start + per_block]
        inputs = inputs_of(model, [matrix.name for matrix in block], tokens)
        for matrix in block:
            layer = module_of(model, matrix.name)
            norm = inputs[matrix.name].flatten(0, 1).square().mean(dim=0).sqrt()
            saliency = (layer.weight.detach().double().abs() * norm).numpy()
            expected = oracles.select_pruned(saliency, sparsity=0.5)
            actual = (module_of(pruned, matrix.name).weight == 0).numpy()
            bound = np.sort(saliency, axis=1)[:, [saliency.shape[1] // 2 - 1]]
            assert np.abs(saliency / bound - 1)[expected != actual].max(initial=0) < 1e-3, matrix.name
        for matrix in block:
            with torch.no_grad():
                module_of(model, matrix.name).weight.copy_(module_of(pruned, matrix.name).weight)


@pytest.mark.parametrize("pattern", [None, (2, 4)])
@pytest.mark.parametrize("preset", ["dsnot-paper", "dsnot-reference"])
def test_the_first_block_matches_a_row_by_row_search(
    checkpoint: Checkpoints, tmp_path: Path, preset: str, pattern: tuple[int, int] | None
) -> None:
    report = run(checkpoint("opt"), tmp_path, {"preset": preset} | (TWO_OF_FOUR if pattern else {}))
    model, after, tokens = families.load(checkpoint("opt")), weights(tmp_path), families.tokens()
    inputs = inputs_of(model, [matrix.name for matrix in report.matrices[:6]], tokens)
    rows = agreeing = 0
    for matrix in report.matrices[:6]:
        layer = module_of(model, matrix.name)
        x = inputs[matrix.name]
        weight = layer.weight.detach().double().numpy()
        saliency = np.abs(weight) * x.flatten(0, 1).square().mean(dim=0).sqrt().numpy()
        expected = oracles.select_pruned(saliency, pattern=pattern, sparsity=None if pattern else 0.5)
        is_reference = preset == "dsnot-reference"
        variance = x.var(dim=1, correction=0).mean(dim=0) if is_reference else x.flatten(0, 1).var(dim=0, correction=0)
        if "attn" in matrix.name or not is_reference:
            for r in range(len(weight)):
                expected[r] = oracles.refine_row(
                    weight[r],
                    expected[r],
                    x.mean(dim=(0, 1)).numpy(),
                    variance.numpy(),
                    saliency[r],
                    max_cycles=50,
                    threshold=0.1 / families.LENGTH,
                    power=1.0,
                    sign_rule=not is_reference,
                    group=pattern[1] if pattern else None,
                )
        same = (expected == (after[matrix.name] == 0).numpy()).all(axis=1)
        rows, agreeing = rows + len(same), agreeing + int(same.sum())
    assert agreeing >= 0.99 * rows  # a row may sit on a tie that float32 and float64 break differently
    assert report.matrices[0].swaps > 0


@pytest.mark.parametrize("family", ["llama", "gemma2", "falcon"])
@pytest.mark.parametrize("accept", ["always", "if_better"])
def test_reported_errors_match_the_layers_on_the_same_inputs(
    checkpoint: Checkpoints, tmp_path: Path, family: str, accept: str
) -> None:
    report = run(checkpoint(family), tmp_path, {"refinement": {"accept": accept}})
    model, after, tokens = families.load(checkpoint(family)), weights(tmp_path), families.tokens()
    per_block = len(report.matrices) // 3
    inputs = inputs_of(model, [matrix.name for matrix in report.matrices[:per_block]], tokens)
    for matrix in report.matrices[:per_block]:
        layer = module_of(model, matrix.name)
        x = inputs[matrix.name].flatten(0, 1)
        whole, kept = layer.weight.detach().double(), after[matrix.name].double()
        expected = ((x @ (whole - kept).T).square().sum() / (x @ whole.T).square().sum()).item()
        assert matrix.error == pytest.approx(expected, rel=1e-3)
    if accept == "if_better":
        assert all(matrix.error <= matrix.error_start * (1 + 1e-9) for matrix in report.matrices)


def test_n_of_m_leaves_at_most_n_weights_in_every_group(checkpoint: Checkpoints, tmp_path: Path) -> None:
    for n, m in [(2, 4), (1, 4), (4, 8)]:
        target = tmp_path / f"{n}{m}"
        report = run(checkpoint("llama"), target, {"pattern": {"type": "n:m", "n": n, "m": m}})
        after = weights(target)
        for matrix in report.matrices:
            assert ((after[matrix.name].reshape(-1, m) != 0).sum(dim=1) == n).all()
        assert sum(matrix.swaps for matrix in report.matrices) > 0


@pytest.mark.parametrize("preset", ["dsnot-paper", "balanced", "best"])
def test_matrices_that_groups_do_not_fit_stay_dense_and_are_reported(
    checkpoint: Checkpoints, tmp_path: Path, preset: str
) -> None:
    recipe = {"preset": preset, "allocation": "uniform", "pattern": {"type": "n:m", "n": 16, "m": 64}}  # down_proj has 96 inputs
    report = run(checkpoint("llama"), tmp_path / "target", recipe)
    before, after = weights(checkpoint("llama")), weights(tmp_path / "target")
    narrow = {name for name in before if "down_proj" in name}
    assert all(torch.equal(before[name], after[name]) for name in narrow)
    assert {matrix.name for matrix in report.matrices}.isdisjoint(narrow)
    assert all(matrix.sparsity == 0.75 for matrix in report.matrices)
    whole = outline(checkpoint("llama"))
    assert report.coverage == (whole.prunable_parameters - 3 * 64 * 96) / whole.block_parameters
    assert any("3 matrices stay dense" in warning and "has 96" in warning for warning in report.warnings)


@pytest.mark.parametrize("model_type", ["mamba", "deepseek_v3"])
def test_blocks_with_narrow_matrices_are_pruned_in_groups(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path / "source")
    report = run(tmp_path / "source", tmp_path / "target", {"pattern": {"type": "n:m", "n": 16, "m": 32}})
    assert any("stay dense" in warning for warning in report.warnings) == (model_type == "mamba")


def test_an_allocation_by_loss_needs_a_head(checkpoint: Checkpoints, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(checkpoint("llama"), source)
    tensors = load_file(source / "model.safetensors")
    save_file({name: each for name, each in tensors.items() if name != "lm_head.weight"}, source / "model.safetensors")
    with pytest.raises(ValueError, match="head"):
        run(source, tmp_path / "target", {"allocation": "arithmetic"})


def test_equal_runs_give_equal_bytes(checkpoint: Checkpoints, tmp_path: Path) -> None:
    reports = [run(checkpoint("gemma3"), tmp_path / name) for name in "ab"]
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert [m.error for m in reports[0].matrices] == [m.error for m in reports[1].matrices]


@pytest.mark.parametrize("family", ["gemma2", "falcon_alibi", "opt"])
def test_the_batch_size_does_not_matter(
    checkpoint: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    masks = []
    for budget in (1, 2 * families.LENGTH, 10**6):
        monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", budget)
        report = run(checkpoint(family), tmp_path / str(budget))
        after = weights(tmp_path / str(budget))
        masks.append(torch.cat([(after[matrix.name] == 0).flatten() for matrix in report.matrices]))
    assert (masks[0] != masks[1]).double().mean() < 1e-3
    assert (masks[0] != masks[2]).double().mean() < 1e-3


def test_shards_index_and_other_files_are_kept(tmp_path: Path) -> None:
    source = families.save("llama", tmp_path / "source", shard="100KB")
    shards = sorted(path.name for path in source.glob("*.safetensors"))
    assert len(shards) > 2
    kept = ["tokenizer.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "LICENSE", "USE_POLICY.md"]
    left = [".env", "pytorch_model.bin", "modeling.py", "README.md", "consolidated.safetensors", "x.gguf"]
    for name in kept + left:
        (source / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (source / "link.txt").symlink_to(tmp_path / "secret.txt")
    target = tmp_path / "target"
    run(source, target)
    given = {"config.json", "generation_config.json", "model.safetensors.index.json"}
    assert {path.name for path in target.iterdir()} == {*shards, *kept, *given}
    for name in (*kept, *given):
        assert (target / name).read_bytes() == (source / name).read_bytes()
    for shard in shards:
        before, after = (source / shard).read_bytes(), (target / shard).read_bytes()
        header = 8 + int.from_bytes(before[:8], "little")
        assert before[:header] == after[:header]
        assert len(before) == len(after)
    families.load(target)


@pytest.mark.parametrize("preset", ["dsnot-paper", "balanced", "best"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_checkpoints_keep_their_dtype_and_load(tmp_path: Path, dtype: torch.dtype, preset: str) -> None:
    source = families.save("llama_tied", tmp_path / "source", dtype=dtype)
    report = run(source, tmp_path / "target", {"preset": preset})
    model = families.load(tmp_path / "target")
    assert model.dtype == dtype
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert report.sparsity == pytest.approx(0.5)
    with torch.no_grad():
        assert model(input_ids=families.tokens()).logits.isfinite().all()


def test_zeros_of_the_source_are_counted(checkpoint: Checkpoints, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(checkpoint("llama"), source)
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][:, :48] = 0
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    recipe = WANDA | {"pattern": {"type": "unstructured", "sparsity": 0.25}}
    report = run(source, tmp_path / "target", recipe)
    found = {matrix.name: matrix.sparsity for matrix in report.matrices}
    assert found["model.layers.0.mlp.up_proj.weight"] == 0.75
    assert found["model.layers.0.mlp.gate_proj.weight"] == 0.25


def test_a_checkpoint_without_base_prefix_keeps_its_names(checkpoint: Checkpoints, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(checkpoint("llama_tied"), source)
    tensors = load_file(source / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    save_file(bare, source / "model.safetensors", {"format": "pt"})
    run(source, tmp_path / "bare")
    run(checkpoint("llama_tied"), tmp_path / "prefixed")
    expected = weights(tmp_path / "prefixed")
    found = weights(tmp_path / "bare")
    assert set(found) == set(bare)
    assert all(torch.equal(tensor, expected["model." + name]) for name, tensor in found.items())


def test_the_observer_is_notified_of_every_block_in_order(checkpoint: Checkpoints, tmp_path: Path) -> None:
    watcher = Watcher()
    report = run(checkpoint("llama"), tmp_path, observer=watcher)
    starts = [told for told in watcher.told if told[0] == "started"]
    finishes = [told for told in watcher.told if told[0] == "finished"]
    assert starts == [("started", i, 3) for i in range(3)]
    assert [told[1:3] for told in finishes] == [(i, 3) for i in range(3)]
    assert sum((told[3] for told in finishes), ()) == report.matrices
    assert watcher.told[::2] == starts
    assert watcher.ticks >= 3 * 7


@pytest.mark.parametrize("stop_at", [1, 5, 15])
def test_an_exception_of_the_observer_stops_the_run(checkpoint: Checkpoints, tmp_path: Path, stop_at: int) -> None:
    watcher = Watcher(stop_at)
    with pytest.raises(InterruptedError, match="enough"):
        run(checkpoint("llama"), tmp_path, observer=watcher)
    assert watcher.ticks == stop_at


@pytest.mark.parametrize(
    "tokens",
    [
        torch.zeros(0, 8, dtype=torch.int64),
        torch.zeros(2, 0, dtype=torch.int64),
        torch.zeros(8, dtype=torch.int64),
        torch.zeros(2, 8),
        torch.full((2, 8), families.VOCABULARY),
        torch.full((2, 8), -1),
        torch.zeros(1, 65, dtype=torch.int64),
    ],
)
def test_tokens_outside_the_vocabulary_are_refused(checkpoint: Checkpoints, tmp_path: Path, tokens: Tensor) -> None:
    with pytest.raises(ValueError, match=r"[Tt]oken"):
        run(checkpoint("llama"), tmp_path / "target", tokens=tokens)
    assert not (tmp_path / "target").exists()


def test_an_incompatible_recipe_leaves_no_output(checkpoint: Checkpoints, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit no matrix"):
        run(checkpoint("llama"), tmp_path / "target", {"pattern": {"type": "n:m", "n": 2, "m": 5}})
    assert not (tmp_path / "target").exists()


def test_the_source_is_never_the_destination(checkpoint: Checkpoints) -> None:
    with pytest.raises(ValueError, match="another folder"):
        run(checkpoint("llama"), checkpoint("llama"))


def broken(source: Path, target: Path, name: str, value: float | None) -> Path:
    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    if value is None:
        del tensors[name]
    else:
        tensors[name].flatten()[7] = value
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.layers.1.mlp.up_proj.weight", float("nan"), r"layers\.1\.mlp\.down_proj"),
        ("model.layers.1.self_attn.o_proj.weight", float("inf"), r"layers\.1"),
        ("model.embed_tokens.weight", float("nan"), r"layers\.0"),
    ],
)
def test_nonfinite_numbers_are_named(checkpoint: Checkpoints, tmp_path: Path, name: str, value: float, message: str) -> None:
    source = broken(checkpoint("llama"), tmp_path / "source", name, value)
    tokens = torch.zeros(2, 8, dtype=torch.int64)
    with pytest.raises(NumericalFailure, match=message):
        run(source, tmp_path / "target", tokens=tokens)


def test_a_missing_tensor_is_named(checkpoint: Checkpoints, tmp_path: Path) -> None:
    source = broken(checkpoint("llama"), tmp_path / "source", "model.layers.2.input_layernorm.weight", None)
    with pytest.raises(ArchitectureUnsupported, match=r"model\.layers\.2\.input_layernorm\.weight"):
        run(source, tmp_path / "target")
