"""The terms of a plan's memory, which the service counts from headers, held against the tensors that the engine really makes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from service.contract.devices import DeviceClass
from service.contract.engine_sizes import LOSS_LOGITS
from service.contract.recipe.recipe import Recipe
from service.contract.samples import SamplesSpec
from service.contract.spec import EvaluationSpec, JobSpec
from service.models.folder import FolderFiles
from service.models.headers import read_headers
from service.models.outline import ModelOutline, outline
from service.planning.holdings import Holdings
from service.planning.memory import Phase, TextTokens, peak
from tests.support.engine import families
from tests.support.size import sized
from worker.engine import evaluate, sparsify
from worker.engine.activations.capture import record
from worker.engine.activations.measuring import measure
from worker.engine.activations.store import ActivationStore
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure
from worker.engine.report import Stopwatch

CPU = torch.device("cpu")


@pytest.fixture
def folder(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint("llama")


def outlined(folder: Path) -> ModelOutline:
    return outline(read_headers(FolderFiles(folder), None))


def holdings(folder: Path, recipe: dict[str, Any]) -> Holdings:
    return Holdings(outlined(folder), Recipe.model_validate(recipe), DeviceClass.CPU)


def spec(**calibration: int) -> JobSpec:
    asked = {"num_samples": 8, "sequence_length": 64} | calibration
    bare = {"recipe": {"preset": "balanced"}, "calibration": asked, "evaluation": {"samples": None}}
    return JobSpec.model_validate({"model": {"id": "m"}} | bare)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_block_is_its_parameters_in_the_compute_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    arch = load_structure(families.save("llama", tmp_path, dtype=dtype))
    for device_class in DeviceClass:
        with loaded_block(arch, arch.blocks[0], CPU) as layer:
            planned = Holdings(outlined(tmp_path), Recipe(), device_class).block
            assert planned == sum(parameter.nbytes for parameter in layer.parameters())


@pytest.mark.parametrize("family", ["llama", "phi3", "opt"])
def test_gram_matrices_match_those_of_the_engine(checkpoint: Callable[[str], Path], family: str) -> None:
    folder = checkpoint(family)
    arch = load_structure(folder)
    stream = record(arch, families.tokens(), CPU, lambda: None)
    block = arch.blocks[0]
    with loaded_block(arch, block, CPU):
        found = measure(block, 0, stream, matrices=block.matrices, with_gram=True, watch=Stopwatch(), tick=lambda: None)
    grams = {id(inputs): inputs.gram.nbytes for inputs in found.values() if inputs.gram is not None}
    assert holdings(folder, {"preset": "fast"}).statistics == sum(grams.values())


@pytest.mark.parametrize("preset", ["dsnot-paper", "fast", "balanced", "best"])
@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_activations_match_the_activation_store(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, preset: str, family: str
) -> None:
    """But for the inputs of sums in the first batch, of which nobody knows yet that they are not needed."""
    folder, tokens, shelves = checkpoint(family), families.tokens().repeat(sized(1, 16), 1), list[ActivationStore]()
    start = ActivationStore.__init__

    def noted(store: ActivationStore, **options: Any) -> None:
        start(store, **options)
        shelves.append(store)

    monkeypatch.setattr(ActivationStore, "__init__", noted)
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", families.LENGTH)
    sparsify(folder, tmp_path / "pruned", Recipe.from_dict({"preset": preset}), tokens)
    told = holdings(folder, {"preset": preset}).of_tokens()
    [store] = shelves
    first_batch = store.in_memory - told * tokens.numel()
    assert 0 <= first_batch <= 2 * families.LENGTH * told


def test_kept_states_match_those_of_the_engine(checkpoint: Callable[[str], Path]) -> None:
    folder, windows = checkpoint("llama"), families.tokens(samples=6)
    kept = evaluate(folder, windows, device="cpu", keep=3).states
    assert kept is not None
    bytes_of_window = sum(state.nbytes for state in kept.states) // sum(kept.sizes)
    asked = {"perplexity": ["wiki-sample", "c4-sample"], "sequence_length": families.LENGTH, "agreement_windows": 3}
    terms = terms_of(folder, **asked)
    assert terms["kept states"] == 2 * 3 * bytes_of_window
    assert terms["activations"] == 6 * bytes_of_window
    assert terms_of(folder, **asked | {"agreement_windows": 16})["kept states"] == 2 * 6 * bytes_of_window
    changes: list[dict[str, Any]] = [{"baseline": False}, {"agreement_windows": 0}, {"perplexity": []}]
    for without in changes:
        assert not terms_of(folder, **asked | without).get("kept states")


def terms_of(folder: Path, **evaluation: Any) -> Mapping[str, int]:
    """Of the host while a model with a head as large as that of a real one is scored on six windows."""
    plain = outlined(folder)
    with_head = replace(plain, vocab_size=100_000, parameters=plain.parameters + 10**8)
    tiny = {"num_samples": 1, "sequence_length": 8}
    asked = JobSpec.model_validate({"model": {"id": "m"}, "calibration": tiny, "evaluation": {"samples": None} | evaluation})
    need = peak(with_head, asked, DeviceClass.CPU, TextTokens(0, 6 * families.LENGTH)).host
    assert need.phase is Phase.SCORING or not asked.evaluation.perplexity
    return need.terms


def test_comparing_small_windows_takes_more_memory_than_losses() -> None:
    """Both models' logits of as many tokens as there are, what float64 makes of them, and what is kept of that."""
    tokens = 64
    need = peak(llama(32_000), evaluating(tokens), DeviceClass.CPU, TextTokens(0, 10**6)).host
    assert need.terms["logits"] == tokens * 32_000 * (2 * 2 + 3 * 8 + 16)
    alone = evaluating(tokens).model_copy(
        update={"evaluation": EvaluationSpec(sequence_length=tokens, baseline=False, samples=None)}
    )
    assert peak(llama(32_000), alone, DeviceClass.CPU, TextTokens(0, 10**6)).host.terms["logits"] == tokens * 32_000 * 12


def test_losses_of_large_windows_are_computed_in_pieces() -> None:
    assert peak_of(vocab_size=32_000, sequence_length=4096) == LOSS_LOGITS * (2 + 4 + 4 + 2)


def peak_of(*, vocab_size: int, sequence_length: int) -> int:
    """The logits of a bfloat16 model: as they are, in float32, their logarithms, and what is left of them."""
    need = peak(llama(vocab_size), evaluating(sequence_length), DeviceClass.CPU, TextTokens(0, 10**6)).host
    assert need.phase is Phase.SCORING
    return need.terms["logits"]


def evaluating(sequence_length: int) -> JobSpec:
    tiny = {"num_samples": 1, "sequence_length": 8}
    evaluation = {"sequence_length": sequence_length, "max_windows": 1, "samples": None}
    return JobSpec.model_validate({"model": {"id": "m"}, "calibration": tiny, "evaluation": evaluation})


def llama(vocabulary: int, blocks: int = 2) -> ModelOutline:
    from benchmarks._synthetic import Shape, headers

    return outline(headers(Shape(256, 512, 4, 4, vocabulary), blocks))


@pytest.mark.parametrize("device", list(DeviceClass))
def test_zero_shot_tasks_need_the_whole_model_at_least(device: DeviceClass) -> None:
    model, texts, bare = llama(1000, blocks=200), TextTokens(0, 0), spec()
    asked = bare.model_copy(update={"evaluation": bare.evaluation.model_copy(update={"tasks": ["boolq"]})})
    need = peak(model, asked, device, texts, least=True).computing
    assert need.phase is Phase.TASKS
    assert need.terms["model"] == model.parameters * model.bytes_per_parameter
    assert peak(model, bare, device, texts, least=True).computing.bytes < need.bytes


def test_a_gpu_needs_memory_for_its_context_and_for_fragmentation() -> None:
    on_cpu, on_gpu = (peak(llama(100), spec(), device, TextTokens(0, 0)).computing for device in DeviceClass)
    added = {"context", "fragmentation"}
    assert not added & set(on_cpu.terms)
    allocated = sum(size for name, size in on_gpu.terms.items() if name not in added)
    assert on_gpu.terms["context"] == 2**30
    assert on_gpu.bytes == 2**30 + allocated + round(allocated / 10)


def test_memory_grows_with_samples_and_not_with_blocks() -> None:
    texts = TextTokens(0, 0)
    few, many = (peak(llama(100, blocks), spec(), DeviceClass.CPU, texts).host.bytes for blocks in (2, 50))
    assert few == many
    more = peak(llama(100), spec(num_samples=16_000), DeviceClass.CPU, texts).host
    assert more.terms["activations"] == 2000 * peak(llama(100), spec(), DeviceClass.CPU, texts).host.terms["activations"]


@pytest.mark.parametrize("device", DeviceClass)
def test_timing_needs_the_whole_model_and_is_excluded_at_minimum(device: DeviceClass) -> None:
    texts, model = TextTokens(0, 0), llama(100, blocks=400)
    asked = spec().model_copy(update={"evaluation": EvaluationSpec(perplexity=[], speed=True)})
    most, least = (peak(model, asked, device, texts, least=least) for least in (False, True))
    assert most.computing.phase is Phase.WHOLE
    assert most.computing.terms["whole model"] == model.parameters * 2
    assert "whole model" not in least.computing.terms


@pytest.mark.parametrize("device", DeviceClass)
def test_samples_need_the_whole_model_if_they_are_taken(device: DeviceClass) -> None:
    texts, model = TextTokens(0, 0), llama(100, blocks=400)
    for limit, is_whole in ((None, True), (model.weight_bytes, True), (model.weight_bytes - 1, False)):
        evaluation = EvaluationSpec(perplexity=[], samples=SamplesSpec(max_weight_bytes=limit))
        most = peak(model, spec().model_copy(update={"evaluation": evaluation}), device, texts)
        assert (most.computing.phase is Phase.WHOLE) == is_whole
        assert most.computing.terms.get("whole model", 0) == model.parameters * 2 * is_whole


@pytest.mark.parametrize("device", DeviceClass)
def test_the_minimum_is_smaller_and_terms_sum_to_the_total(device: DeviceClass) -> None:
    texts = TextTokens(0, 10**5)
    most, least = (peak(llama(32_000), spec(num_samples=4096), device, texts, least=least) for least in (False, True))
    for need in (most.host, least.host, most.computing, least.computing):
        assert need.bytes == sum(need.terms.values())
    assert least.computing.bytes < most.computing.bytes or device is DeviceClass.GPU
    assert least.host.bytes < most.host.bytes
    assert (most.device is None) == (device is DeviceClass.CPU)
