"""Models of `benchmarks.runtime`: a dense one, pruned ones and GGUF files, made once in a folder."""

import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks import _gguf
from benchmarks._cell import calibration_windows, test_windows, token_ids
from benchmarks._recipes import PATTERNS
from benchmarks._synthetic import SHAPES, write
from service.demo import shipped_model
from worker.engine import Recipe, sparsify
from worker.inputs.gguf import convert

PRUNED: Final = ("50 %", "60 %", "70 %", "2:4")
LLAMA: Final = Path(__file__).parents[1] / ".venv-llama"
"""Environment of llama.cpp."""
KINDS: Final = ("BF16", "Q8_0", "Q4_0")
BLOCKS: Final = {"1b": 16, "8b": 2}
"""Blocks of the synthetic models."""
VOCABULARY: Final = 4096
"""Vocabulary of the synthetic models; their embeddings and head would hide the matrices if few blocks are measured."""


def dense(name: str, blocks: int, folder: Path) -> Path:
    """Return the dense model: SmolLM2-135M-Instruct, or Llama's shape with random weights; in bfloat16."""

    def make(target: Path) -> None:
        if name == "smollm2":
            target.mkdir()
            convert(shipped_model(), target, print, torch.bfloat16)
        else:
            write(target, replace(SHAPES[name.upper()], vocabulary=VOCABULARY), blocks)

    return _once(folder / "dense", make)


def pruned(name: str, pattern: str, folder: Path) -> Path:
    """Return the pruned model: SmolLM2 by Wanda on a text, others by random masks, which cost the same to multiply by."""

    def make(target: Path) -> None:
        base, spec = folder / "dense", PATTERNS[pattern]
        if name == "smollm2":
            windows = calibration_windows(token_ids(base, "c4-sample:train"), 8, 512)
            sparsify(base, target, Recipe.from_dict({"refinement": {"method": "none"}, "pattern": spec}), windows, device="cpu")
        else:
            _mask_at_random(base, target, spec)

    return _once(folder / pattern.replace(" %", "").replace(":", "-"), make)


def gguf(kind: str, folder: Path) -> Path:
    """Return the dense model as a GGUF file, quantized by llama.cpp unless `kind` is BF16."""

    def make(target: Path) -> None:
        if kind == "BF16":
            _gguf.write(folder / "dense", target)
        else:
            words = [
                str(LLAMA / "bin" / "python"),
                "-m",
                "benchmarks._llama_decoder",
                str(gguf("BF16", folder)),
                str(target),
                kind,
            ]
            subprocess.run(words, check=True, capture_output=True, cwd=LLAMA.parent)

    return _once(folder / f"{kind}.gguf", make)


def llama_missing() -> str | None:
    """Return why llama.cpp cannot be measured here, with the remedy; None if it can be."""
    return None if any(LLAMA.glob(".ready-*")) else "llama.cpp's environment is missing; `make llama` builds it"


def cache_pages(model: Path) -> None:
    """Read a model's weights, so that every contender loads from the page cache."""
    for path in [*model.glob("*.safetensors"), *([model] if model.is_file() else [])]:
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def text(name: str, model: Path, length: int) -> list[int]:
    """Return tokens that every contender reads and decodes: of a text for SmolLM2, random ones for others."""
    if name == "smollm2":
        return [int(token) for token in token_ids(model, "wiki-sample:test")[:length]]
    source = random.Random(0)  # noqa: S311
    return [source.randrange(VOCABULARY) for _ in range(length)]


def windows(name: str, model: Path, count: int) -> list[list[int]]:
    """Return windows for the perplexity; none for models with random weights."""
    return test_windows(token_ids(model, "wiki-sample:test"), count, 1024).tolist() if name == "smollm2" else []


def _once(target: Path, make: Callable[[Path], None]) -> Path:
    if not target.exists():
        partial = target.with_name(f".{target.name}")
        shutil.rmtree(partial, ignore_errors=True)
        make(partial)
        partial.rename(target)
    return target


def _mask_at_random(base: Path, target: Path, pattern: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    shutil.copytree(base, target, ignore=shutil.ignore_patterns("*.safetensors"))
    for shard in base.glob("*.safetensors"):
        tensors = load_file(shard)
        for name, tensor in tensors.items():
            if tensor.ndim == 2 and ".layers." in name:
                tensor.masked_fill_(_zeros(tensor, pattern, generator), 0)
        save_file(tensors, target / shard.name, {"format": "pt"})


def _zeros(tensor: Tensor, pattern: dict[str, Any], generator: torch.Generator) -> Tensor:
    if pattern["type"] == "unstructured":
        return torch.rand(tensor.shape, generator=generator).lt(pattern["sparsity"])
    n, m = pattern["n"], pattern["m"]
    groups = torch.tensor([[column in zeros for column in range(m)] for zeros in combinations(range(m), m - n)])
    masks = groups[torch.randint(len(groups), (tensor.numel() // m,), generator=generator)]
    return masks.reshape(tensor.shape)
