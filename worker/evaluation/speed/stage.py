"""Throughput and memory of a checkpoint on the job's device, measured rather than estimated.

Protocol: the whole model as transformers loads it, in its own type, but float16 in float32 on a CPU; one sequence at a time.

    prefill   a prompt of P tokens in one forward pass, up to its first new token:      P / seconds, for three P
    decode    N more tokens, greedily, one forward pass each with the KV cache:         N / seconds

After one warm-up run, each is measured up to five times or for half a minute; median and extremes are reported. The tokens are
random: a dense model's speed does not depend on them (the routing of a mixture of experts does).

The pruned model is timed as every runtime runs it, and with kernels that use its zeros: on a CPU those of `dsnot_runtime`, with
values as stored and in int8; on a GPU those for 2:4.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel, ConfigDict

from service.contract.engine_sizes import PROMPT_TOKENS
from service.contract.speed_ways import Way
from worker.devices import processor_name
from worker.engine.activations.store import give_back_memory
from worker.engine.device_memory import is_device_memory_exhausted
from worker.engine.model.loading import choose_device
from worker.engine.model.structure import outline
from worker.evaluation.speed.packed_weights import is_packed, load_packed
from worker.evaluation.speed.sparse_kernels import NoSparseKernels, check_device, stored_bytes, with_sparse_kernels
from worker.evaluation.speed.timing import Generation, Throughput, timed
from worker.inputs.whole_models import DeviceTooSmall, check_room, load_whole, ready
from worker.process.peak_memory import PeakMemory

_NEW: Final = 32
_LONGEST_SECONDS: Final = 20.0
"""Prefills that would take longer are not measured."""


class _Metric(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpeed(_Metric):
    """Speed and memory of one checkpoint."""

    prefill: Throughput
    """At the speed's `prompt_tokens`."""
    prefills: dict[int, Throughput]
    """By prompt length; one that would take more than 20 seconds is left out."""
    first_token_seconds: float
    """Median time to the first token at `prompt_tokens`."""
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
    packed: ModelSpeed | None = None
    """Pruned checkpoint with the CPU kernels for any pattern."""
    packed_int8: ModelSpeed | None = None
    """The same with its kept values rounded to int8."""
    why_not: str | None = None
    """Reason if something was not measured."""


def compare_speed(
    dense: Path | None, pruned: Path, *, device: str, memory: PeakMemory, two_of_four: bool, progress: Callable[[int, int], None]
) -> Speed:
    """Time both checkpoints one after the other, and the pruned one with sparse kernels: on a CPU, or with `two_of_four`.

    A checkpoint that the device cannot hold is left out with the reason: the job does not fail.

    Args:
        progress: called with the measurements done and in total, before each and at the end; it may raise to stop.
    """
    ways: list[Way] = ["dense"] if dense else []
    ways += ["pruned", "sparse"] if two_of_four else ["pruned"]
    ways += ["packed", "packed_int8"] if choose_device(device).type == "cpu" else []
    found: dict[str, ModelSpeed] = {}
    reasons: list[str] = []
    for done, way in enumerate(ways):
        tick = partial(progress, done, len(ways))
        path = dense if dense and way == "dense" else pruned
        try:
            found[way] = measure_speed(path, device, memory, tick, way)
        except (DeviceTooSmall, NoSparseKernels) as error:
            reasons.append(str(error))
    progress(len(ways), len(ways))
    return Speed(**_setting(pruned, device), **found, why_not=" ".join(dict.fromkeys(reasons)) or None)


def _setting(path: Path, device: str) -> dict[str, Any]:
    target, generation = choose_device(device), speed_lengths(path)[0]
    return {
        "device": torch.cuda.get_device_name(target) if target.type == "cuda" else processor_name(),
        "threads": torch.get_num_threads(),
        "prompt_tokens": generation.prompt,
        "new_tokens": generation.new,
    }


def measure_speed(path: Path, device: str, memory: PeakMemory, tick: Callable[[], None], way: Way = "pruned") -> ModelSpeed:
    """Load the checkpoint whole and time it, with the kernels of `way`.

    Raises:
        DeviceTooSmall: the whole model does not fit.
        worker.evaluation.speed.sparse_kernels.NoSparseKernels: there are none for this device or these weights.
    """
    target, generations = choose_device(device), speed_lengths(path)
    if way == "sparse":
        check_device(target)
    check_room(path, target)
    try:
        with memory.part() as taken, _loaded(path, target, way) as model:
            converted = with_sparse_kernels(model) if way == "sparse" else sum(map(is_packed, model.parameters()))
            weights, dtype = sum(map(stored_bytes, model.parameters())), str(model.dtype).removeprefix("torch.")
            prefill, decode = timed(model, generations[0], target, tick)
            assert decode is not None
            prefills = {generations[0].prompt: prefill}
            for each in generations[1:]:
                if each.prompt / prefill.median < _LONGEST_SECONDS:
                    prefills[each.prompt], _ = timed(model, each, target, tick)
    except RuntimeError as error:
        if not is_device_memory_exhausted(error):
            raise
        longest = max(each.prompt + each.new for each in generations)
        raise DeviceTooSmall(f"The device's memory does not hold the whole model and {longest} tokens.") from None
    finally:
        give_back_memory()
    return ModelSpeed(
        prefill=prefill,
        prefills=dict(sorted(prefills.items())),
        first_token_seconds=round(generations[0].prompt / prefill.median, 4),
        decode=decode,
        dtype=dtype,
        weight_bytes=weights,
        peak_bytes=taken.host if taken.device is None else taken.device,
        sparse_matrices=converted,
    )


def speed_lengths(path: Path) -> list[Generation]:
    """Return the generations to time, first the one that is decoded; shorter for a model with a short context."""
    shortest, middle, longest = PROMPT_TOKENS
    context = outline(path).max_sequence_length or longest + 1
    new = min(_NEW, max(1, context // 4))
    prompt = max(1, min(middle, context - new))
    return [Generation(prompt, new), *(Generation(each, 0) for each in (shortest, longest) if each < context)]


@contextmanager
def _loaded(path: Path, target: torch.device, way: Way) -> Iterator[Any]:
    model = load_packed(path, "int8" if way == "packed_int8" else "stored") if way.startswith("packed") else load_whole(path)
    with torch.inference_mode():
        yield ready(model, target)
