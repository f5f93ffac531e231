"""Entry point of pruning: a checkpoint is pruned block by block.

Paper: Zhang et al., "Dynamic Sparse No Training", ICLR 2024, arXiv:2310.08915; the order of the blocks is that of Wanda
(arXiv:2306.11695) and SparseGPT: each block is measured on the outputs of the pruned blocks before it.

A block is loaded once: measured, pruned in memory, written to the destination, and the samples are sent through it. An
interrupted run resumes from the journal: its blocks are written again, loaded from there, and the samples sent through
them, bit-identical to an uninterrupted run.

Axes:   W and masks (out, in); calibration tokens (samples, length) int64
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from service.contract.matrices import MatrixReport
from service.contract.recipe.choices import Allocation, Objective
from service.contract.recipe.pattern import Pattern, stay_dense
from service.contract.recipe.recipe import Recipe
from worker.engine.activations.batches import Stream
from worker.engine.activations.capture import check_tokens, record, samples_of_largest_batch
from worker.engine.activations.causality import check_causal
from worker.engine.activations.dense_reference import DenseReference
from worker.engine.activations.partial_forward import PartialForward, full_forward
from worker.engine.activations.store import give_back_memory
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.device_memory import retry_with_half_batch_on_oom
from worker.engine.model.loading import choose_device, loaded_block
from worker.engine.model.matrices import Matrix
from worker.engine.model.structure import Architecture, load_structure
from worker.engine.output.journal import Finished, Journal, opened, run_key
from worker.engine.output.writer import Change, Changed, Output
from worker.engine.pruning.block import BlockPruning
from worker.engine.pruning.matrix import Pruned
from worker.engine.pruning.sparsity_allocation import allocate
from worker.engine.report import NullObserver, Observer, Part, SparsityReport, Stopwatch
from worker.engine.warnings import collect_warnings


def sparsify(
    source: Path,
    destination: Path,
    recipe: Recipe,
    calibration_tokens: Tensor,
    *,
    device: str = "auto",
    observer: Observer | None = None,
    journal: Journal | None = None,
    scratch: Path | None = None,
) -> SparsityReport:
    """Prune the checkpoint in the folder `source` into the folder `destination`.

    The destination gets all files of the source that belong to a Hub checkpoint, with the same tensor names, types and
    shards. The same arguments on the same machine give bit-identical results.

    Args:
        source: a folder with config.json and safetensors.
        destination: another folder, created if missing.
        recipe: the pruning options.
        calibration_tokens: (samples, length) int64, token ids.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        observer: notified of every block; may stop the run by raising.
        journal: stores finished blocks; those of an interrupted run with the same arguments are reused. Closed at the
            end.
        scratch: a folder for activations that do not fit into memory; without one they must fit.

    Raises:
        ValueError: the recipe does not fit the model, or the tokens do not.
        FileNotFoundError, ModelUnsafe, ArchitectureUnsupported: see `outline`.
        NumericalFailure: NaN or infinite weights or activations, with the layer's name.
        DeviceMemoryExhausted: the device has not enough memory, even for half a batch.
        OSError: for example, the disk is full.
    """
    with opened(journal):
        target, observer = choose_device(device), observer or NullObserver()

        def attempt(tokens_per_batch: int) -> SparsityReport:
            places = (source, destination, scratch)
            return _Run(places, recipe, calibration_tokens, target, observer, journal, tokens_per_batch).report()

        def largest_batch(tokens_per_batch: int) -> int:
            return samples_of_largest_batch(load_structure(source), calibration_tokens, tokens_per_batch)

        try:
            return retry_with_half_batch_on_oom(attempt, target, largest_batch)
        finally:
            give_back_memory(device=target)


class _Run:
    """One pruning run, with the state at the input of the next block."""

    def __init__(
        self,
        places: tuple[Path, Path, Path | None],
        recipe: Recipe,
        tokens: Tensor,
        device: torch.device,
        observer: Observer,
        journal: Journal | None,
        tokens_per_batch: int,
    ) -> None:
        """Do all work before the first block. `places`: source, destination, scratch."""
        source, destination, scratch = places
        self._watch, self._observer, self._recipe = Stopwatch(device), observer, recipe
        whole = load_structure(source)
        self._arch: Architecture = whole.under(recipe.pattern)
        pruned = dict(self._arch.matrix_shapes())
        self._misfits = [matrix for matrix in whole.matrix_shapes() if matrix[0] not in pruned]
        if recipe.allocation is Allocation.ARITHMETIC and not whole.has_head:
            raise ValueError(f"The allocation {recipe.allocation} needs a language-model head, which the checkpoint lacks.")
        check_tokens(self._arch, tokens, at_least=1)
        self._output = Output(self._arch.checkpoint, destination)
        with self._watch.time(Part.IO):
            self._source = self._output.copy_source(observer.tick)
        self._written = self._output.written
        self._journal = journal
        self._key = run_key(source=self._source, recipe=recipe, tokens=tokens, device=device, tokens_per_batch=tokens_per_batch)
        with self._watch.time(Part.FORWARD):
            self._stream = record(self._arch, tokens, device, observer.tick, tokens_per_batch=tokens_per_batch, scratch=scratch)
        with self._loaded(0) as layer:
            check_causal(self._stream, layer, self._arch.blocks[0].name)
        self._patterns: Sequence[Pattern] = allocate(self._arch, self._stream, tokens, recipe, self._watch, observer.tick)
        self._dense_stream = self._stream.copy() if recipe.objective is Objective.PROPAGATED else None

    def report(self) -> SparsityReport:
        """Prune all blocks and return the report."""
        reports, samples = list(self._blocks()), self._stream.samples
        report = SparsityReport.of(reports, block_parameters=self._arch.block_parameters, seconds=self._watch.seconds)
        needs_gram = self._recipe.needs_gram
        warnings = collect_warnings(report.matrices, coverage=report.coverage, samples=samples, needs_gram=needs_gram)
        misfits = stay_dense(self._misfits, self._recipe.pattern)
        return replace(report, warnings=(*misfits, *warnings), source=self._source)

    def _blocks(self) -> Iterator[Sequence[MatrixReport]]:
        """Prune each block, or take it from the journal, and write it; yield the reports of its matrices."""
        total = len(self._arch.blocks)
        for index in range(total):
            self._observer.block_started(index, total)
            for following in self._arch.blocks[index + 1 : index + 2]:
                self._arch.checkpoint.expect(self._arch.tensors_of(following))
            with self._watch.time(Part.IO):
                known = self._journal.find(index, self._key) if self._journal else None
            partial_forward = PartialForward(self._arch.blocks[index], self._stream.store)
            if known:
                self._replay(index, known)
            finished = known or self._prune(index, partial_forward)
            partial_forward.clear()
            self._observer.block_finished(index, total, finished.reports, resumed=known is not None)
            yield finished.reports
            del finished, known  # free the block's weights before the next one is pruned
            give_back_memory(self._arch.blocks[index].module)

    def _prune(self, index: int, partial_forward: PartialForward) -> Finished:
        """Prune a block, keep it in the journal, write it, and send the stream through it; its weights are loaded once."""
        with self._loaded(index) as layer:
            watch, tick, stream = self._watch, self._observer.tick, self._dense_stream
            dense = DenseReference(self._arch.blocks[index], index, stream, watch, tick) if stream else None
            pruning = BlockPruning(
                self._arch.blocks[index],
                index,
                self._recipe,
                self._patterns[index],
                self._stream,
                self._arch.checkpoint,
                partial_forward,
                watch,
                tick,
                self._observer.matrix_pruned,
            )
            finished = self._finish(pruning.run(layer, dense))
            if self._journal:
                self._journal.keep(index, finished, self._key)
            self._output.write(finished.tensors)
            if not self._is_last(index):
                self._advance(self._stream, index, layer, partial_forward)
        return finished

    def _finish(self, results: Mapping[Matrix, Pruned]) -> Finished:
        """Map the results to the checkpoint's tensors."""
        changes = {matrix: Change(result.pruned, result.weight) for matrix, result in results.items()}
        changed = Changed.by(self._arch.checkpoint, changes)
        reports = tuple(
            result.report.model_copy(update={"sparsity": changed.zeros[matrix.name]}) for matrix, result in results.items()
        )
        return Finished(changed.tensors, reports)

    def _replay(self, index: int, known: Finished) -> None:
        """Write a block of the journal, and send the streams through it."""
        self._output.write(known.tensors)
        if self._is_last(index):
            return
        with self._loaded(index, self._written) as layer:
            self._advance(self._stream, index, layer)
        if self._dense_stream:
            with self._loaded(index) as layer:
                self._advance(self._dense_stream, index, layer)

    def _is_last(self, index: int) -> bool:
        return index + 1 == len(self._arch.blocks)

    @contextmanager
    def _loaded(self, index: int, weights: Checkpoint | None = None) -> Iterator[nn.Module]:
        with self._watch.time(Part.IO), loaded_block(self._arch, self._arch.blocks[index], self._stream.device, weights) as layer:
            yield layer

    def _advance(self, stream: Stream, index: int, layer: nn.Module, partial_forward: PartialForward | None = None) -> None:
        """Send a stream through the loaded block, partially if possible."""

        def run_first_batch(context: AbstractContextManager[None]) -> list[Tensor]:
            with context:
                return [stream.run(layer, index, batch=0)]

        with self._watch.time(Part.FORWARD):
            context = partial_forward.checked_context(stream, index, run_first_batch) if partial_forward else full_forward
            stream.advance(layer, index, self._arch.blocks[index].name, self._observer.tick, context)
