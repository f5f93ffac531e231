"""How fast models are: what is timed, what is told of it, and what is left out with a reason."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.support import checkpoints
from worker.evaluation.speed import stage as speed
from worker.evaluation.speed import timing
from worker.evaluation.speed.sparse_kernels import (
    NoSparseKernels,
    check_device,
    is_two_of_four,
    stored_bytes,
    with_sparse_kernels,
)
from worker.evaluation.speed.stage import compare_speed, measure_speed, speed_lengths
from worker.evaluation.speed.timing import Generation, timed
from worker.inputs import whole_models
from worker.process.peak_memory import PeakMemory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"))


def _ignore(*_counts: int) -> None:
    pass


def test_throughput_matches_the_measured_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Slow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal now
            now += 0.2 if x.shape[1] > 1 else 0.05
            return x

    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: now))

    built = checkpoints.build()
    built.model.norm = nn.Sequential(built.model.norm, Slow())

    read, written = timed(built, Generation(40, 8), CPU, _ignore)
    assert written is not None

    assert read.median == pytest.approx(40 / 0.2), "a prompt is read in one pass"
    assert written.median == pytest.approx(1 / 0.05), "each token after it is a pass of its own"
    assert read.lowest <= read.median <= read.highest
    assert read.times == written.times >= 2


def test_generation_settings_of_the_model_do_not_count() -> None:
    built = checkpoints.build()
    built.generation_config.update(num_beams=4, stop_strings=["a"], max_time=0.0)

    assert timed(built, Generation(16, 8), CPU, _ignore)[0].median > 0


def test_the_measurement_can_be_stopped_at_every_token() -> None:
    told: list[int] = []

    def stop() -> None:
        told.append(len(told))
        if len(told) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timed(checkpoints.build(), Generation(16, 8), CPU, stop)


def test_both_models_are_reported_with_their_device(model: Path) -> None:
    told: list[tuple[int, int]] = []

    found = compare_speed(
        model, model, device="cpu", memory=PeakMemory.start("cpu"), two_of_four=False, progress=lambda *at: told.append(at)
    )

    assert found.dense is not None
    assert found.pruned is not None
    assert found.dense.weight_bytes == sum(parameter.nbytes for parameter in checkpoints.build().parameters())
    assert found.dense.peak_bytes > 0
    assert (found.prompt_tokens, found.new_tokens) == (48, 16), "the model takes 64 tokens"
    assert set(found.dense.prefills) == {33, 48}
    assert found.dense.first_token_seconds > 0
    assert found.threads == torch.get_num_threads()
    assert found.sparse is None
    assert found.packed is None
    assert found.why_not == "No matrix of the pruned model has 30% zeros, from which packing pays on a CPU."
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)


def test_a_pruned_model_is_also_timed_with_packed_matrices(tmp_path: Path) -> None:
    pruned = checkpoints.build()
    with torch.no_grad():
        for name, parameter in pruned.named_parameters():
            if "proj" in name:
                parameter *= torch.rand(parameter.shape) > 0.6
    pruned.save_pretrained(tmp_path)

    found = compare_speed(None, tmp_path, device="cpu", memory=PeakMemory.start("cpu"), two_of_four=False, progress=_ignore)

    assert found.pruned is not None
    assert found.packed is not None
    assert found.packed_int8 is not None
    assert found.packed.sparse_matrices == found.packed_int8.sparse_matrices > 0
    assert found.packed_int8.weight_bytes < found.packed.weight_bytes < found.pruned.weight_bytes


def test_without_a_baseline_only_the_pruned_model_is_timed(model: Path) -> None:
    found = compare_speed(None, model, device="cpu", memory=PeakMemory.start("cpu"), two_of_four=False, progress=_ignore)
    assert found.dense is None
    assert found.pruned is not None


def test_missing_sparse_kernels_are_reported_with_the_reason(model: Path) -> None:
    found = compare_speed(None, model, device="cpu", memory=PeakMemory.start("cpu"), two_of_four=True, progress=_ignore)
    assert found.pruned is not None
    assert found.sparse is None
    assert found.why_not is not None
    assert found.why_not.startswith(
        "Kernels for 2:4 exist on NVIDIA GPUs only; elsewhere zeros are multiplied like other numbers."
    )


def test_a_model_that_exceeds_memory_is_skipped_with_the_bytes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_models, "free_memory", lambda: 1000)

    found = compare_speed(model, model, device="cpu", memory=PeakMemory.start("cpu"), two_of_four=False, progress=_ignore)

    assert found.dense is None
    assert found.pruned is None
    assert found.why_not == "Loading the whole model needs too much memory: 0.0 GiB of weights, and 0.0 GiB of memory are free."


def test_a_device_that_runs_out_of_memory_is_too_small(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(speed, "timed", out_of_memory)

    with pytest.raises(whole_models.DeviceTooSmall, match="whole model and 64 tokens"):
        measure_speed(model, "cpu", PeakMemory.start("cpu"), _ignore)


def test_lengths_match_the_protocol_as_far_as_the_model_allows(tmp_path: Path) -> None:
    found = speed_lengths(checkpoints.save(tmp_path, max_position_embeddings=4096))
    assert found == [Generation(257, 32), Generation(33, 0), Generation(2048, 0)]


def test_two_of_four_sparsity_is_recognized() -> None:
    assert is_two_of_four(torch.tensor([[1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0]]))
    assert not is_two_of_four(torch.tensor([[1.0, 1.0, 2.0, 0.0]]))
    assert not is_two_of_four(torch.zeros(2, 6))


def test_rocm_has_no_sparse_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 4))
    check_device(torch.device("cuda:0"))
    monkeypatch.setattr(torch.version, "hip", "7.0.2")
    with pytest.raises(NoSparseKernels, match="NVIDIA GPUs only"):
        check_device(torch.device("cuda:0"))


def test_without_two_of_four_matrices_nothing_is_converted() -> None:
    with pytest.raises(NoSparseKernels, match="No matrix"):
        with_sparse_kernels(checkpoints.build().to(torch.bfloat16))
    with pytest.raises(NoSparseKernels, match="in float32"):
        with_sparse_kernels(checkpoints.build())


class Matrices(nn.Sequential):
    dtype = torch.bfloat16


def sparse_matrices(*shapes: tuple[int, int]) -> Matrices:
    """Matrices of (out, in) with two of every four inputs zero."""
    parts = [nn.Linear(columns, rows, bias=False) for rows, columns in shapes]
    with torch.no_grad():
        for part in parts:
            part.weight.view(-1, 4)[:, :2] = 0
    return Matrices(*parts)


def test_only_matrices_of_supported_shapes_are_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", torch.neg)
    model = sparse_matrices((32, 64), (24, 64), (32, 40), (16, 16))
    before = [weight.detach().clone() for weight in model.parameters()]
    assert with_sparse_kernels(model) == 2
    changed = [not torch.equal(now, weight) for now, weight in zip(model.parameters(), before, strict=True)]
    assert changed == [True, False, False, True]
    with pytest.raises(NoSparseKernels, match="shapes"):
        with_sparse_kernels(sparse_matrices((24, 64)))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("CUDA error: invalid argument"), NoSparseKernels),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), RuntimeError),
    ],
    ids=str,
)
def test_failing_kernels_are_not_taken_for_unsupported_shapes(
    monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    def fail(_weight: torch.Tensor) -> torch.Tensor:
        raise error

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", fail)
    with pytest.raises(raised) as caught:
        with_sparse_kernels(sparse_matrices((32, 64)))
    assert "shapes" not in str(caught.value)


def test_plain_parameters_have_their_stored_bytes() -> None:
    assert stored_bytes(nn.Parameter(torch.zeros(3, 5, dtype=torch.bfloat16))) == 30
