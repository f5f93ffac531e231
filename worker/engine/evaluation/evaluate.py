"""Evaluation of a checkpoint on windows of text, and of a pruned one against the dense model's stored final states."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from worker.engine import device_memory
from worker.engine.activations.store import give_back_memory
from worker.engine.evaluation.agreement import Agreement, agreement
from worker.engine.evaluation.final_states import End, FinalStates, at_the_end
from worker.engine.evaluation.head import loaded_head
from worker.engine.evaluation.perplexity import Perplexity, window_losses
from worker.engine.report import Observer


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation, and the final states kept to compare another model with this one."""

    perplexity: Perplexity
    states: FinalStates | None
    agreement: Agreement | None
    is_repeatable: bool  # run with the default batch size, so the bits do not depend on free memory


def evaluate(
    source: Path,
    windows: Tensor,
    *,
    device: str = "auto",
    observer: Observer | None = None,
    scratch: Path | None = None,
    keep: int = 0,
    dense: FinalStates | None = None,
    measured: Callable[[int, int], None] = lambda _done, _total: None,
) -> Evaluation:
    """Evaluate the checkpoint in the folder `source`; other arguments and errors are those of `at_the_end`.

    Args:
        keep: number of windows whose final states are returned.
        dense: final states of the dense model on the same windows; the agreement with it is measured.
        measured: called after the last block with the number of windows done and in total; a window counts once for its
            loss and once for its agreement.
    """

    def finish(end: End) -> Evaluation:
        with loaded_head(end.arch, end.stream) as head:
            total = len(windows) + (dense.count if dense else 0)

            def count(done: int) -> None:
                end.tick()
                measured(done, total)

            losses = window_losses(head, end.stream, windows, count)
            give_back_memory()  # of the losses' logits, before those of the agreement, of another size, are allocated
            found = agreement(head, dense, end.stream, windows, lambda done: count(len(windows) + done)) if dense else None
        states = FinalStates.first(end.stream, keep) if keep else None
        is_repeatable = end.tokens_per_batch == device_memory.TOKENS_PER_BATCH
        return Evaluation(Perplexity.of(losses, windows.shape[1]), states, found, is_repeatable)

    return at_the_end(source, windows, finish, device=device, observer=observer, scratch=scratch)


def perplexity(
    source: Path, windows: Tensor, *, device: str = "auto", observer: Observer | None = None, scratch: Path | None = None
) -> Perplexity:
    """Return the perplexity of the checkpoint in the folder `source`; arguments and errors are those of `at_the_end`."""
    return evaluate(source, windows, device=device, observer=observer, scratch=scratch).perplexity


def final_states(
    source: Path,
    windows: Tensor,
    count: int,
    *,
    device: str = "auto",
    observer: Observer | None = None,
    scratch: Path | None = None,
) -> FinalStates:
    """Return the final states of the first `count` windows; only the batches with these windows are computed."""

    def finish(end: End) -> FinalStates:
        return FinalStates.first(end.stream, count)

    return at_the_end(source, windows, finish, device=device, observer=observer, scratch=scratch, first=count)
