"""The story: how a checkpoint becomes a sparse one, block by block.

Paper: Zhang et al., "Dynamic Sparse No Training", ICLR 2024, arXiv:2310.08915; the way through the blocks is that of
Wanda (arXiv:2306.11695) and SparseGPT: each block is measured with the inputs that the pruned blocks before it give.

Axes:   W and masks (out, in); calibration tokens (samples, length) int64
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from worker.engine.architectures import Architecture, describe, take_apart
from worker.engine.block_pruning import BlockPruning
from worker.engine.calibration import check_tokens, record
from worker.engine.cautions import cautions
from worker.engine.choices import Objective
from worker.engine.division import divide
from worker.engine.loading import choose_device, loaded_block
from worker.engine.output import Change, Output
from worker.engine.propagation import DenseRun
from worker.engine.pruning import needs_gram
from worker.engine.recipe import Recipe
from worker.engine.report import MatrixReport, Observer, Part, Silent, SparsityReport, Stopwatch
from worker.engine.streams import Stream


def sparsify(
    source: Path,
    destination: Path,
    recipe: Recipe,
    calibration_tokens: Tensor,
    *,
    device: str = "auto",
    observer: Observer | None = None,
) -> SparsityReport:
    """Prune the checkpoint in the folder `source` into the folder `destination`.

    The destination gets everything of the source that belongs to a Hub checkpoint, with the same tensor names, types
    and shards. The same arguments on the same machine give the same bits.

    Args:
        source: a folder with config.json and safetensors.
        destination: another folder, made if need be.
        recipe: what to do.
        calibration_tokens: (samples, length) int64, token ids.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        observer: is told of every block and may stop the run by raising.

    Raises:
        ValueError: the recipe does not fit the model, or the tokens do not.
        FileNotFoundError, ModelUnsafe, ArchitectureUnsupported: see `outline`.
        NumericalFailure: NaN or infinite weights or activations, with the layer's name.
    """
    watch, observer, target = Stopwatch(), observer or Silent(), choose_device(device)
    arch = take_apart(source)
    recipe.check(describe(arch))
    check_tokens(arch, calibration_tokens, at_least=1)
    output = Output(arch.checkpoint, destination)
    with watch.time(Part.IO):
        output.copy_source(observer.tick)
    with watch.time(Part.FORWARD):
        stream = record(arch, calibration_tokens, target, observer.tick)
    total, written = len(arch.blocks), output.written
    shares = divide(arch, stream, calibration_tokens, recipe, watch, observer.tick)
    dense_stream = stream.copy() if recipe.objective is Objective.PROPAGATED else None
    reports: list[list[MatrixReport]] = []
    for index, block in enumerate(arch.blocks):
        observer.block_started(index, total)
        dense = _remember(arch, index, dense_stream, watch, observer.tick)
        with watch.time(Part.IO), loaded_block(arch, block, target, shared=written) as layer:
            pruning = BlockPruning(block, index, recipe, shares[index], stream, watch, observer.tick)
            results = pruning.run(layer, dense)
            zeros = output.write({matrix: Change(result.pruned, result.weight) for matrix, result in results.items()})
            finished = [result.report(matrix.name, zeros[matrix.name]) for matrix, result in results.items()]
            if index + 1 < total:
                with watch.time(Part.FORWARD):
                    stream.advance(layer, index, block.name, observer.tick)
        reports.append(finished)
        observer.block_finished(index, total, finished)
    report = SparsityReport.of(reports, block_parameters=arch.block_parameters, seconds=watch.seconds)
    warnings = cautions(report.matrices, coverage=report.coverage, samples=stream.samples, fits_tokens=needs_gram(recipe))
    return replace(report, warnings=tuple(warnings))


def _remember(
    arch: Architecture, index: int, stream: Stream | None, watch: Stopwatch, tick: Callable[[], None]
) -> DenseRun | None:
    """What the dense block computes, where there is a dense stream to send through it."""
    if stream is None:
        return None
    with watch.time(Part.IO), loaded_block(arch, arch.blocks[index], stream.device):
        return DenseRun(arch.blocks[index], index, stream, watch, tick)
