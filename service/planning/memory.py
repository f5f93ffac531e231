"""The memory that a job will take, from its model's outline and its spec: a sum of named terms, the most of any phase.

A run holds one block at a time, so nothing here grows with the number of blocks. Phases follow each other, and what one has
held is given back before the next:

    texts        the longest text, as the tokenizer makes tokens of it
    recording    activations + embeddings + block + batch
    pruning      activations + block + results + statistics + batch + work on the largest matrix, as the allocator keeps what a
                 batch took while masks are chosen
    writing      activations + results + the changed block, also in the journal's file + the form of its largest tensor
    scoring      activations of the windows + kept states + embeddings and head + logits
    evaluating   activations of the windows + kept states + block + batch
    whole        the whole model, where its speed is measured; without the room for it that is left out
    tasks        the whole model + logits, of questions that are assumed to have some length

The kept states are the dense model's, of the windows on which the pruned one is compared with it.

On a CPU all of it is the host's. On a GPU activations, texts and what is written are the host's, all else the device's. The
factors are counted from the engine (see `holdings`); what is there before a job and what libraries take once they compute is
measured. `benchmarks/plans.py` holds the sums against real runs, on CPUs: the device's part has not been measured on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.contract import DeviceClass, JobSpec
from service.models.outline import ModelOutline
from service.planning.holdings import Holdings

IDLE_PROCESS: Final = 355 << 20
"""Resident in a worker's child that has imported torch and waits."""
LIBRARIES: Final = 130 << 20
"""What is resident beside it once a model has been built and computed with: the model's code, routines, the allocator's own."""
TOKENS_PER_BATCH: Final = 2048
"""The engine's: whole samples up to so many tokens go through a block together, at least one."""
PROMPT: Final = 512
"""Tokens that a model reads whose speed is measured."""
_LOGITS: Final = 1 << 24
"""Numbers of logits that the engine makes at a time."""
_LOSS_BYTES: Final = 12
"""A logit on its way to a loss, whatever its own type: itself, in float32, its logarithm, what is left of them; measured."""
_COMPARED_LOGITS: Final = 1 << 21
"""Numbers of logits of each of two models that the engine compares at a time."""
_COMPARED_BYTES: Final = 40
"""A pair of logits, beside their own type: both logarithms in float64, what one is made of, and what the allocator keeps."""
_QUESTIONS: Final = 8 * 256
"""Tokens of the questions that the evaluation harness asks at a time; their length is known to the workers only."""
_TEXT_TOKEN_BYTES: Final = 700
"""A token in a tokenizer's encoding, with its offsets and its word; measured."""


class Phase(StrEnum):
    """What is going on when memory is needed most."""

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
    """Bytes at the peak, in which phase that is, and what they are made of."""

    bytes: int
    phase: Phase
    terms: _Terms

    @classmethod
    def most(cls, always: _Terms, *parts: _Phases) -> "Need":
        """Of the phases, the one in which all parts together hold most."""
        joined = {
            phase: {name: size for part in (always, *(each.get(phase, {}) for each in parts)) for name, size in part.items()}
            for phase in Phase
        }
        phase = max(joined, key=lambda each: sum(joined[each].values()))
        return cls(sum(joined[phase].values()), phase, {name: size for name, size in joined[phase].items() if size})


@dataclass(frozen=True)
class Peak:
    """What a worker needs. `device` is None on a CPU, whose memory is the host's."""

    host: Need
    device: Need | None

    @property
    def computing(self) -> Need:
        """Of the memory that is computed in."""
        return self.device or self.host


@dataclass(frozen=True)
class TextTokens:
    """About how many tokens the job's texts have: the longest of all, and the longest that is evaluated."""

    longest: int
    evaluated: int


def peak(model: ModelOutline, spec: JobSpec, device: DeviceClass, texts: TextTokens, *, least: bool = False) -> Peak:
    """The most that the job will hold at once.

    With `least`, what it cannot do without: half a batch, or one sample if that is longer, and activations in files.
    """
    holdings = Holdings(model, spec.recipe, device)
    batch_tokens = TOKENS_PER_BATCH // 2 if least else TOKENS_PER_BATCH
    kept = {} if least else _kept(holdings, spec, texts)
    computed, written = _computed(holdings, spec, batch_tokens), _written(holdings)
    if spec.evaluation.speed and not least:
        computed[Phase.WHOLE] = {"whole model": model.parameters * holdings.number, "batch": holdings.of_batch(PROMPT, 0)}
    read: _Phases = {Phase.TEXTS: {"text": texts.longest * _TEXT_TOKEN_BYTES}}
    always = {"idle process": IDLE_PROCESS, "libraries": LIBRARIES}
    if device is DeviceClass.GPU:
        return Peak(Need.most(always, kept, written, read), Need.most({}, computed))
    return Peak(Need.most(always, kept, computed, written, read), None)


def _kept(holdings: Holdings, spec: JobSpec, texts: TextTokens) -> _Phases:
    """Activations between passes, by the phases that have them."""
    calibration, evaluation = spec.calibration, spec.evaluation
    hidden = holdings.width * holdings.number
    windows = min(texts.evaluated // evaluation.sequence_length, evaluation.max_windows or texts.evaluated)
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


def _computed(holdings: Holdings, spec: JobSpec, batch_tokens: int) -> dict[Phase, _Terms]:
    """What lies where it is computed."""
    model, length = holdings.model, spec.calibration.sequence_length
    batch = {"batch": holdings.of_batch(_in_batch(length, batch_tokens), length)}
    block = {"block": holdings.block}
    held = {"results": holdings.results, "statistics": holdings.statistics, "work": holdings.work}
    phases: dict[Phase, _Terms] = {
        Phase.RECORDING: block | batch | {"embeddings": (model.vocab_size or 0) * holdings.width * holdings.number},
        Phase.PRUNING: block | batch | held,
    }
    if spec.evaluation.perplexity:
        window = spec.evaluation.sequence_length
        logits = _logits(spec, window * (model.vocab_size or 0), holdings.number)
        outside = (model.parameters - model.block_parameters) * holdings.number
        phases[Phase.SCORING] = {"embeddings and head": outside, "logits": logits}
        phases[Phase.EVALUATING] = block | {"batch": holdings.of_batch(_in_batch(window, batch_tokens), 0)}
    if spec.evaluation.tasks:
        logits = 2 * _QUESTIONS * (model.vocab_size or 0) * model.bytes_per_parameter
        phases[Phase.TASKS] = {"model": model.parameters * model.bytes_per_parameter, "logits": logits}
    return phases


def _logits(spec: JobSpec, of_window: int, number: int) -> int:
    """What the logits of a window take, of which there are so many, on their way to a loss or to be compared."""
    losses = min(_LOGITS, of_window) * _LOSS_BYTES
    is_compared = spec.evaluation.baseline and spec.evaluation.agreement_windows
    return max(losses, min(_COMPARED_LOGITS, of_window) * (2 * number + _COMPARED_BYTES) if is_compared else 0)


def _written(holdings: Holdings) -> _Phases:
    """What lies on the host until it is on the disk."""
    return {Phase.WRITING: {"results": holdings.results, "changed block": holdings.changed, "tensor": holdings.spread}}


def _in_batch(length: int, tokens: int) -> int:
    return max(1, tokens // length) * length
