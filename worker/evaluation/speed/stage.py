"""How fast a checkpoint reads and writes text on the job's device, and what memory it takes there: measured, not promised.

Protocol: the whole model as transformers loads it, in the type that the engine computes in; one sequence at a time.

    prefill   a prompt of P tokens in one forward pass, up to its first new token:      P / seconds
    decode    N more tokens, greedily, one forward pass each over the model's cache:    N / seconds

Each is done once for nothing, then up to five times or for half a minute; told are the median and the extremes. The tokens are
random: what a dense model does with a token does not depend on which it is (a mixture's choice of experts does).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict

from service.kit.quantities import gib
from worker.devices import processor_name
from worker.engine.activations.store import free_memory, give_back_memory
from worker.engine.model.loading import choose_device, compute_dtype
from worker.engine.model.structure import outline
from worker.evaluation.speed.sparse_kernels import NoSparseKernels, check_device, stored_bytes, with_sparse_kernels
from worker.evaluation.speed.timing import Throughput, timed
from worker.process.peak_memory import PeakMemory

PROMPT: Final = 512
_NEW: Final = 32
_LOADING: Final = 2.5
"""Times the bytes of the weights, at the most: float16 becomes float32, and files that are read are in memory, too."""


class DeviceTooSmall(Exception):
    """The whole model does not fit where it would be timed; the text says so in a sentence."""


class _Metric(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpeed(_Metric):
    """Of one checkpoint."""

    prefill: Throughput
    decode: Throughput
    dtype: str
    weight_bytes: int
    """Of all parameters, as they lie in memory."""
    peak_bytes: int
    """Of the process on a CPU, of the device otherwise, above what was there before the model was loaded."""
    sparse_matrices: int = 0
    """So many went through kernels that make use of their zeros."""


class Speed(_Metric):
    """Both checkpoints on one device."""

    device: str
    threads: int
    prompt_tokens: int
    new_tokens: int
    dense: ModelSpeed | None = None
    pruned: ModelSpeed | None = None
    sparse: ModelSpeed | None = None
    """The pruned one with 2:4 kernels."""
    why_not: str | None = None
    """Why something was not measured."""


def compare_speed(
    dense: Path | None, pruned: Path, *, device: str, memory: PeakMemory, two_of_four: bool, progress: Callable[[int, int], None]
) -> Speed:
    """Time both checkpoints one after the other, and with `two_of_four` the pruned one through kernels for that, too.

    What the device cannot hold is left out with the reason: a job does not fail for it.

    Args:
        progress: is told how many of how many measurements are done, before each and at the end; it may raise to stop.
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
    """Load the checkpoint whole and time it; with `sparse`, through kernels for 2:4.

    Raises:
        DeviceTooSmall: the whole model does not fit.
        worker.evaluation.speed.sparse_kernels.NoSparseKernels: there are none for this device or for these weights.
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
    except torch.OutOfMemoryError:
        raise DeviceTooSmall(f"The device's memory does not hold the whole model and {sum(lengths)} tokens.") from None
    finally:
        give_back_memory()
    peak = taken.host if taken.device is None else taken.device
    return ModelSpeed(
        prefill=prefill, decode=decode, dtype=dtype, weight_bytes=weights, peak_bytes=peak, sparse_matrices=converted
    )


def speed_lengths(path: Path) -> tuple[int, int]:
    """Tokens of the prompt, and tokens after it: fewer for a model that takes few."""
    longest = outline(path).max_sequence_length or PROMPT + _NEW
    new = min(_NEW, max(1, longest // 4))
    return max(1, min(PROMPT, longest - new)), new


def _check_room(path: Path, target: torch.device) -> None:
    """A host that runs out of memory kills the process, and the pruned model with it; a device only raises."""
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    free = free_memory()
    if target.type == "cpu" and weights * _LOADING > free:
        detail = f"{gib(weights)} of weights, and {gib(free)} of memory are free"
        raise DeviceTooSmall(f"The whole model would have to be loaded: {detail}.")


@contextmanager
def _loaded(path: Path, target: torch.device) -> Iterator[Any]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype="auto", trust_remote_code=False, local_files_only=True)
    with torch.inference_mode():
        yield model.to(target, compute_dtype(model, target)).eval()
