"""Walk of one block of a Llama-2 shape on a simulated GPU, which counts what the engine does there without computing a number.

The engine prunes a checkpoint of two blocks, zeros in a sparse file, and is stopped after the first block. The costs of a block
are a constant and a share per calibration sample; walks with few samples give both. Loops whose length depends on numbers have an
arbitrary one; `_gpu_swaps` corrects those of the swaps.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import torch

from benchmarks._first_block import prune_first_block
from benchmarks._synthetic import Shape, headers
from service.contract.engine_sizes import TOKENS_PER_BATCH
from service.models.outline import ModelOutline, outline
from tests.support.strict_device import Cost, StrictCuda, strict_cuda
from worker.engine import Journal, Recipe
from worker.engine.activations.capture import record
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure

SHAPES: Final = {  # name: shape, blocks
    "7B": (Shape(4096, 11008, 32, 32, 32000), 32),
    "13B": (Shape(5120, 13824, 40, 40, 32000), 40),
    "70B": (Shape(8192, 28672, 64, 8, 32000), 80),
}
SAMPLES: Final = 128
LENGTH: Final = TOKENS_PER_BATCH
"""Tokens of a sample; a batch is one sample."""
WALKED: Final = (2, 4)
"""Samples of the two walks; the first two batches differ from the others."""
LINES: Final = 8


@dataclass
class Work:
    """Costs, predicted seconds without files, and bytes read from and written to files."""

    cost: Cost = field(default_factory=Cost)
    seconds: float = 0.0
    read: float = 0
    written: float = 0

    def add(self, other: "Work", times: float = 1) -> Self:
        """Add another work `times` times, and return this one."""
        self.cost.add(other.cost, times)
        self.seconds += times * other.seconds
        self.read += times * other.read
        self.written += times * other.written
        return self


@dataclass(frozen=True)
class Walk:
    """Work before the first block and in it, the device's peak of allocated memory in bytes, and the lines that cost most."""

    before: Work
    block: Work
    peak: int
    lines: dict[str, Cost]


def walk(shape: Shape, recipe: Recipe, samples: int, folder: Path, *, length: int = LENGTH) -> Walk:
    """Walk one block with `samples` samples; files are written to the empty `folder`."""
    source = write_sparse(folder / "source", shape, blocks=2)
    tokens, journal = torch.zeros(samples, length, dtype=torch.int64), Journal(folder / "journal")
    with strict_cuda(numbers=False, memory=1 << 40) as cuda:
        works = [_so_far(cuda)]

        def note() -> None:
            journal.settle()
            works.append(_so_far(cuda))

        prune_first_block(note, source, folder / "target", recipe, tokens, device="cuda", journal=journal)
    start, first, last = works
    lines = dict(list(cuda.counts.by_place().items())[:LINES])
    return Walk(_between(start, first), _between(first, last), cuda.memory.peak[0], lines)


def bare_pass(shape: Shape, samples: int, folder: Path, *, length: int = LENGTH) -> Work:
    """Walk a forward pass through one loaded block, with the activations copied from and to the host."""
    arch = load_structure(write_sparse(folder / "source", shape, blocks=2))
    with strict_cuda(numbers=False, memory=1 << 40) as cuda:
        device = torch.device("cuda")
        stream = record(arch, torch.zeros(samples, length, dtype=torch.int64), device, lambda: None)
        with loaded_block(arch, arch.blocks[0], device) as layer:
            start = _so_far(cuda)
            stream.advance(layer, 0, arch.blocks[0].name, lambda: None)
            return _between(start, _so_far(cuda))


def at_samples(some: Work, more: Work, samples: int = SAMPLES) -> Work:
    """Return the work with `samples` samples, from walks with the numbers of samples in `WALKED`."""
    few, many = WALKED
    share = (samples - few) / (many - few)
    return Work().add(some, 1 - share).add(more, share)


def outlined(name: str) -> ModelOutline:
    """Return the outline of the whole model of a shape."""
    return outline(headers(*SHAPES[name]))


def write_sparse(folder: Path, shape: Shape, blocks: int) -> Path:
    """Write a checkpoint of zeros that takes no space on the disk."""
    found = headers(shape, blocks)
    entries, end = {}, 0
    for name, tensor in found.tensors.items():
        start, end = end, end + torch.Size(tensor.shape).numel() * torch.bfloat16.itemsize
        entries[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(found.config))
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)
    return folder


def _so_far(cuda: StrictCuda) -> Work:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return Work(cuda.counts.total, cuda.counts.seconds, int(counters["rchar"]), int(counters["wchar"]))


def _between(start: Work, end: Work) -> Work:
    return Work().add(end).add(start, -1)
