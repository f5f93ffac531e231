"""Peak memory of a job, estimated from its model's outline and its spec: the maximum over the phases of a sum of named terms.

A run holds one block at a time, so no term grows with the number of blocks. Phases run one after the other, and each frees its
memory before the next:

    texts        the longest text, while it is tokenized
    recording    activations + embeddings + block + batch
    pruning      activations + block + statistics + results + work on the largest matrix + batch, because the host's allocator
                 keeps the batch's memory while masks are computed; a GPU's reuses it: the larger of batch and results + work
    writing      activations + results + the changed block, also in the journal's file + temporaries of its largest tensor
    scoring      activations of the windows + kept states + embeddings and head + logits
    evaluating   activations of the windows + kept states + block + batch
    whole        the whole model, for speed and samples, which are skipped if memory is insufficient
    tasks        the whole model + logits, for questions of an assumed length

The kept states are the dense model's final states, for the windows on which the pruned model is compared with it.

On a CPU all memory is the host's. On a GPU activations, texts and written tensors are on the host, all else is on the device.
The device also holds the CUDA context with the libraries' workspaces, and memory lost to fragmentation, as estimates.
The factors are counted from the engine's code (see `holdings`); the idle process and the libraries are measured.
`benchmarks/plans.py` compares the estimates with real runs on CPUs, `benchmarks/gpu.py` those of the device with the tensors of a
simulated one; nothing has been measured on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.contract.devices import DeviceClass
from service.contract.engine_sizes import COMPARED_LOGITS, LOSS_LOGITS, PROMPT_TOKENS, TOKENS_PER_BATCH
from service.contract.spec import JobSpec
from service.models.outline import ModelOutline
from service.planning.holdings import Holdings

IDLE_PROCESS: Final = 355 << 20
"""Resident bytes of an idle worker's child that has imported torch."""
LIBRARIES: Final = 130 << 20
"""Further resident bytes once a model was built and run: the model's code, kernels, the allocator's own memory."""
CONTEXT: Final = 1 << 30
"""Bytes of a GPU for the CUDA context, loaded kernels, and workspaces of cuBLAS and cuSOLVER: an estimate, not measured."""
FRAGMENTATION: Final = 0.1
"""Share of the allocated bytes that the GPU's allocator holds in addition: an estimate, not measured."""
_LOSS_BYTES: Final = 12
"""Bytes per logit for computing a loss, in any dtype: the logit, in float32, its logarithm, allocator overhead; measured."""
_COMPARED_BYTES: Final = 40
"""Bytes per pair of compared logits in addition to the logits: both logarithms in float64, a temporary, allocator overhead."""
_QUESTIONS: Final = 8 * 256
"""Assumed tokens per batch of the evaluation harness; the real length is known to the workers only."""
_TEXT_TOKEN_BYTES: Final = 700
"""Bytes per token of a tokenizer's encoding, with offsets and word; measured."""


class Phase(StrEnum):
    """Phase of a job, for its memory peak."""

    TEXTS = "texts"
    RECORDING = "recording"
    PRUNING = "pruning"
    WRITING = "writing"
    SCORING = "scoring"
    EVALUATING = "evaluating"
    WHOLE = "whole"
    TASKS = "tasks"


_Terms = Mapping[str, int]
_Phases = Mapping[Phase, _Terms]


@dataclass(frozen=True)
class Need:
    """Peak in bytes, its phase, and its terms in bytes."""

    bytes: int
    phase: Phase
    terms: _Terms

    @classmethod
    def most(cls, always: _Terms, *parts: _Phases) -> "Need":
        """Return the phase with the largest sum over all parts."""
        joined = {
            phase: {name: size for part in (always, *(each.get(phase, {}) for each in parts)) for name, size in part.items()}
            for phase in Phase
        }
        phase = max(joined, key=lambda each: sum(joined[each].values()))
        return cls(sum(joined[phase].values()), phase, {name: size for name, size in joined[phase].items() if size})


@dataclass(frozen=True)
class Peak:
    """Peak memory on a worker's host and device; `device` is None on a CPU, which uses the host's memory."""

    host: Need
    device: Need | None

    @property
    def computing(self) -> Need:
        """Peak of the memory used for computing: the device's, or on a CPU the host's."""
        return self.device or self.host


@dataclass(frozen=True)
class TextTokens:
    """Approximate tokens of the job's longest text, and of the longest evaluated one."""

    longest: int
    evaluated: int


def peak(model: ModelOutline, spec: JobSpec, device: DeviceClass, texts: TextTokens, *, least: bool = False) -> Peak:
    """Estimate the job's peak memory.

    With `least`, the minimum: half a batch, or one sample if that is longer, and activations in files.
    """
    holdings = Holdings(model, spec.recipe, device)
    batch_tokens = TOKENS_PER_BATCH // 2 if least else TOKENS_PER_BATCH
    kept = {} if least else _kept(holdings, spec, texts)
    computed, written = _computed(holdings, spec, _windows(spec, texts), batch_tokens), _written(holdings)
    if not least:
        computed[Phase.WHOLE] = _whole(holdings, spec)
    read: _Phases = {Phase.TEXTS: {"text": texts.longest * _TEXT_TOKEN_BYTES}}
    always = {"idle process": IDLE_PROCESS, "libraries": LIBRARIES}
    if device is DeviceClass.GPU:
        return Peak(Need.most(always, kept, written, read), Need.most({"context": CONTEXT}, _fragmented(computed)))
    return Peak(Need.most(always, kept, computed, written, read), None)


def _whole(holdings: Holdings, spec: JobSpec) -> _Terms:
    """Return the terms of the whole model for speed and samples, which are skipped if memory is insufficient."""
    samples, speed = spec.evaluation.samples, spec.evaluation.speed
    if not speed and not (samples and samples.are_taken_of(holdings.model.weight_bytes)):
        return {}
    batch = holdings.of_batch(PROMPT_TOKENS[-1], 0) if speed else 0
    return {"whole model": holdings.model.parameters * holdings.loaded_number, "batch": batch}


def _kept(holdings: Holdings, spec: JobSpec, texts: TextTokens) -> _Phases:
    """Return the activations stored between passes, by phase."""
    calibration, evaluation = spec.calibration, spec.evaluation
    hidden = holdings.width * holdings.number
    windows = _windows(spec, texts)
    tokens = calibration.num_samples * calibration.sequence_length
    pruning = {"activations": tokens * holdings.of_tokens()}
    compared = min(windows, evaluation.agreement_windows) if evaluation.baseline else 0
    of_window = evaluation.sequence_length * hidden
    evaluating = {
        "activations": windows * of_window if evaluation.perplexity else 0,
        "kept states": compared * of_window * len(evaluation.perplexity),
    }
    during = (Phase.PRUNING, Phase.WRITING)
    recording = {Phase.RECORDING: {"activations": tokens * hidden}}
    return recording | dict.fromkeys(during, pruning) | dict.fromkeys((Phase.SCORING, Phase.EVALUATING), evaluating)


def _windows(spec: JobSpec, texts: TextTokens) -> int:
    """Return the number of windows of the longest evaluated text."""
    evaluation = spec.evaluation
    return min(texts.evaluated // evaluation.sequence_length, evaluation.max_windows or texts.evaluated)


def _computed(holdings: Holdings, spec: JobSpec, windows: int, batch_tokens: int) -> dict[Phase, _Terms]:
    """Return the terms in the memory used for computing, by phase."""
    model, length, samples = holdings.model, spec.calibration.sequence_length, spec.calibration.num_samples
    batch = {"batch": holdings.of_batch(_in_batch(length, batch_tokens, samples), length)}
    block = {"block": holdings.block}
    masks = {"results": holdings.results, "work": holdings.work}
    held = batch | masks
    if holdings.device is DeviceClass.GPU:
        held = max(batch, masks, key=lambda terms: sum(terms.values()))
    phases: dict[Phase, _Terms] = {
        Phase.RECORDING: block | batch | {"embeddings": (model.vocab_size or 0) * holdings.width * holdings.number},
        Phase.PRUNING: block | {"statistics": holdings.statistics} | held,
    }
    if spec.evaluation.perplexity:
        window = spec.evaluation.sequence_length
        logits = _logits(spec, window * (model.vocab_size or 0), holdings.number)
        outside = (model.parameters - model.encoder_parameters - model.block_parameters) * holdings.number
        phases[Phase.SCORING] = {"embeddings and head": outside, "logits": logits}
        phases[Phase.EVALUATING] = block | {"batch": holdings.of_batch(_in_batch(window, batch_tokens, windows), 0)}
    if spec.evaluation.tasks:
        logits = 2 * _QUESTIONS * (model.vocab_size or 0) * model.bytes_per_parameter
        phases[Phase.TASKS] = {"model": model.parameters * model.bytes_per_parameter, "logits": logits}
    return phases


def _fragmented(phases: _Phases) -> _Phases:
    return {phase: {**terms, "fragmentation": round(FRAGMENTATION * sum(terms.values()))} for phase, terms in phases.items()}


def _logits(spec: JobSpec, of_window: int, number: int) -> int:
    """Return the bytes for computing losses from, or comparing, the `of_window` logits of a window of `number` bytes each."""
    losses = min(LOSS_LOGITS, of_window) * _LOSS_BYTES
    is_compared = spec.evaluation.baseline and spec.evaluation.agreement_windows
    return max(losses, min(COMPARED_LOGITS, of_window) * (2 * number + _COMPARED_BYTES) if is_compared else 0)


def _written(holdings: Holdings) -> _Phases:
    """Return the terms on the host until they are written to disk, by phase."""
    return {Phase.WRITING: {"results": holdings.results, "changed block": holdings.changed, "tensor": holdings.spread}}


def _in_batch(length: int, tokens: int, samples: int) -> int:
    """Return the tokens of the largest batch: of whole samples, at least one, at most all if their number is known."""
    return min(max(1, tokens // length), samples or tokens) * length
