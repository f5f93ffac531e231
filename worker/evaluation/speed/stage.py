"""Throughput and memory of a checkpoint on the job's device, measured rather than estimated.

Protocol: the whole model as transformers loads it, in its own type, but float16 in float32 on a CPU; one sequence at a time.

    prefill   a prompt of P tokens in one forward pass, up to its first new token:      P / seconds
    decode    N more tokens, greedily, one forward pass each with the KV cache:         N / seconds

After one warm-up run, each is measured up to five times or for half a minute; median and extremes are reported. The tokens are
random: a dense model's speed does not depend on them (the routing of a mixture of experts does).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict

from service.contract.engine_sizes import PROMPT_TOKENS
from service.kit.quantities import gib
from worker.devices import processor_name
from worker.engine.activations.store import free_memory, give_back_memory
from worker.engine.device_memory import is_device_memory_exhausted
from worker.engine.model.loading import choose_device
from worker.engine.model.structure import outline
from worker.evaluation.speed.sparse_kernels import NoSparseKernels, check_device, stored_bytes, with_sparse_kernels
from worker.evaluation.speed.timing import Throughput, timed
from worker.inputs.whole_models import load_whole
from worker.process.peak_memory import PeakMemory

_NEW: Final = 32
_LOADING: Final = 2.5
"""Upper bound of the memory for loading, as a multiple of the weights' bytes: float16 becomes float32, and files are mapped."""


class DeviceTooSmall(Exception):
    """Lack of memory for the whole model on the device or host; the text says so in a sentence."""


class _Metric(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpeed(_Metric):
    """Speed and memory of one checkpoint."""

    prefill: Throughput
    decode: Throughput
    dtype: str
    weight_bytes: int
    """Bytes of all parameters as stored in memory."""
    peak_bytes: int
    """Peak of the process on a CPU, of the device otherwise, above the level before the model was loaded."""
    sparse_matrices: int = 0
    """Number of matrices that went through sparse kernels."""


class Speed(_Metric):
    """Speed of both checkpoints on one device."""

    device: str
    threads: int
    prompt_tokens: int
    new_tokens: int
    dense: ModelSpeed | None = None
    pruned: ModelSpeed | None = None
    sparse: ModelSpeed | None = None
    """Pruned checkpoint with 2:4 kernels."""
    why_not: str | None = None
    """Reason if something was not measured."""


def compare_speed(
    dense: Path | None, pruned: Path, *, device: str, memory: PeakMemory, two_of_four: bool, progress: Callable[[int, int], None]
) -> Speed:
    """Time both checkpoints one after the other, and with `two_of_four` the pruned one through 2:4 kernels, too.

    A checkpoint that the device cannot hold is left out with the reason: the job does not fail.

    Args:
        progress: called with the measurements done and in total, before each and at the end; it may raise to stop.
    """
    plan = [("dense", dense, False)] if dense else []
    plan += [("pruned", pruned, False), *([("sparse", pruned, True)] if two_of_four else [])]
    found: dict[str, ModelSpeed] = {}
    reasons: list[str] = []
    for done, (which, path, sparse) in enumerate(plan):
        tick = partial(progress, done, len(plan))
        try:
            found[which] = measure_speed(path, device, memory, tick, sparse=sparse)
        except (DeviceTooSmall, NoSparseKernels) as error:
            reasons.append(str(error))
    progress(len(plan), len(plan))
    return Speed(**_setting(pruned, device), **found, why_not=" ".join(dict.fromkeys(reasons)) or None)


def _setting(path: Path, device: str) -> dict[str, Any]:
    target, (prompt, new) = choose_device(device), speed_lengths(path)
    return {
        "device": torch.cuda.get_device_name(target) if target.type == "cuda" else processor_name(),
        "threads": torch.get_num_threads(),
        "prompt_tokens": prompt,
        "new_tokens": new,
    }


def measure_speed(path: Path, device: str, memory: PeakMemory, tick: Callable[[], None], *, sparse: bool = False) -> ModelSpeed:
    """Load the checkpoint whole and time it; with `sparse`, through 2:4 kernels.

    Raises:
        DeviceTooSmall: the whole model does not fit.
        worker.evaluation.speed.sparse_kernels.NoSparseKernels: there are none for this device or these weights.
    """
    target, lengths = choose_device(device), speed_lengths(path)
    if sparse:
        check_device(target)
    _check_room(path, target)
    try:
        with memory.part() as taken, _loaded(path, target) as model:
            converted = with_sparse_kernels(model) if sparse else 0
            weights, dtype = sum(map(stored_bytes, model.parameters())), str(model.dtype).removeprefix("torch.")
            prefill, decode = timed(model, *lengths, target, tick)
    except RuntimeError as error:
        if not is_device_memory_exhausted(error):
            raise
        raise DeviceTooSmall(f"The device's memory does not hold the whole model and {sum(lengths)} tokens.") from None
    finally:
        give_back_memory()
    peak = taken.host if taken.device is None else taken.device
    return ModelSpeed(
        prefill=prefill, decode=decode, dtype=dtype, weight_bytes=weights, peak_bytes=peak, sparse_matrices=converted
    )


def speed_lengths(path: Path) -> tuple[int, int]:
    """Return the prompt's tokens and the generated tokens, fewer for a model with a short context."""
    longest = outline(path).max_sequence_length or PROMPT_TOKENS + _NEW
    new = min(_NEW, max(1, longest // 4))
    return max(1, min(PROMPT_TOKENS, longest - new)), new


def _check_room(path: Path, target: torch.device) -> None:
    """Raise DeviceTooSmall if the host lacks memory, because running out would kill the process and lose the pruned model.

    A GPU that runs out of memory only raises.
    """
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    free = free_memory()
    if target.type == "cpu" and weights * _LOADING > free:
        detail = f"{gib(weights)} of weights, and {gib(free)} of memory are free"
        raise DeviceTooSmall(f"Loading the whole model needs too much memory: {detail}.")


@contextmanager
def _loaded(path: Path, target: torch.device) -> Iterator[Any]:
    model = load_whole(path)
    with torch.inference_mode():
        dtype = torch.float32 if target.type == "cpu" and model.dtype is torch.float16 else model.dtype
        yield model.to(target, dtype).eval()
