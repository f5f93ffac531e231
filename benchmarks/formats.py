"""Measure size and speed of packed files and masks: creation, restoration and verification.

    python -m benchmarks.formats MODEL --out benchmarks/results/formats

Checkpoints in bfloat16, pruned by magnitude: files of matrices of normal weights only, the best case, with 50, 60 and 70 % of
every row zero; and MODEL with 60 %, whose embeddings stay dense as in any model. Every figure is the median of several runs
with the files in the page cache. Every restored file is compared with the dense one byte for byte.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from zstandard import ZstdCompressor

from benchmarks._machine import about
from service.packing import MASK_SUFFIX, PACKED_SUFFIX, Origin, apply_mask, make_mask, pack, unpack, verify
from worker.engine import Recipe, sparsify

SPARSITIES = {0.5: 0.38, 0.6: 0.32, 0.7: 0.25}
"""Of the matrices, with the aim for the share of the packed files."""
MODEL_SPARSITY = 0.6
AIMS = {"mask": 0.065, "unpack": 200}  # share, MB/s; of a file of matrices
_PIECE = 1 << 24  # bytes


def main() -> None:
    """Measure all cases and write the results."""
    options = _options()
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for make in (*map(_matrices, SPARSITIES), _of_model(options.model)):
            place = Path(folder) / str(len(cases))
            cases.append(measure(make(place), place, options.repeats))
            print(cases[-1], flush=True)
            shutil.rmtree(place)
    facts = about(("numpy", "zstandard")) | {"repeats": options.repeats}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps({"about": facts, "cases": cases}, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(markdown(facts, cases))


def measure(name: str, place: Path, repeats: int) -> dict[str, Any]:
    """Return shares of the dense size, and MB/s of dense data, for the checkpoints `base` and `dense` in the folder `place`."""
    base, dense, artifact = (place / each for each in ("base", "dense", "artifact"))
    artifact.mkdir()
    shards = sorted(dense.glob("*.safetensors"))
    total, speeds = sum(path.stat().st_size for path in shards), {}

    def run(step: str, work: Callable[[], object]) -> None:
        speeds[step] = total / 1e6 / median(_seconds(work, repeats))

    run("pack", lambda: _pack(shards, artifact))
    run("make mask", lambda: _mask(shards, base, artifact))
    run("unpack", lambda: unpack(artifact, _emptied(place / "unpacked")))
    run("apply mask", lambda: apply_mask(artifact, base, _emptied(place / "masked")))
    run("verify", lambda: verify(artifact))
    for made in ("unpacked", "masked"):
        assert all((place / made / path.name).read_bytes() == path.read_bytes() for path in shards), made
    zstd, speeds["zstd, level 1"] = _zstd(shards)
    sizes = {
        suffix[1:]: sum(path.stat().st_size for path in artifact.glob(f"*{suffix}")) for suffix in (PACKED_SUFFIX, MASK_SUFFIX)
    }
    shares = {form: size / total for form, size in (sizes | {"zstd": zstd}).items()}
    return {"name": name, "bytes": total, "files": len(shards), "shares": shares, "mb_per_second": speeds}


def markdown(facts: dict[str, Any], cases: list[dict[str, Any]]) -> str:
    """Return the page: a table of shares and a table of speeds."""
    setting = ", ".join(str(facts[name]) for name in ("machine", "versions", "date"))
    shares, steps = list(cases[0]["shares"]), list(cases[0]["mb_per_second"])
    lines = ["# Formats: size and speed", "", f"Matrices pruned by magnitude, bfloat16. {setting}.", ""]
    packed = ", ".join(f"{aim:.0%} at {sparsity:.0%}" for sparsity, aim in SPARSITIES.items())
    lines += [f"Share of the dense size (aims for matrices: packed ≤ {packed}; mask ≤ {AIMS['mask']:.1%}):", ""]
    lines += [f"| weights | dense | {' | '.join(shares)} |", "|---|" + "---:|" * (1 + len(shares))]
    for case in cases:
        figures = " | ".join(f"{case['shares'][form]:.2%}" for form in shares)
        lines.append(f"| {case['name']} | {case['bytes'] / 1e6:.0f} MB in {case['files']} files | {figures} |")
    lines += ["", f"MB/s of the dense files, SHA-256 of every tensor included (aim: unpack ≥ {AIMS['unpack']}):", ""]
    lines += [f"| weights | {' | '.join(steps)} |", "|---|" + "---:|" * len(steps)]
    for case in cases:
        speeds = " | ".join(f"{case['mb_per_second'][step]:.0f}" for step in steps)
        lines.append(f"| {case['name']} | {speeds} |")
    return "\n".join(lines) + "\n"


def _matrices(sparsity: float) -> Callable[[Path], str]:
    def make(place: Path) -> str:
        """Write base and dense checkpoint, each two files of 268 MB; return the case's name."""
        generator = torch.Generator().manual_seed(0)
        for number in range(2):
            base = {f"{number}.{n}": torch.randn(4096, 4096, generator=generator).mul_(1 / 64).bfloat16() for n in range(8)}
            dense = {name: _smallest_zero(matrix, sparsity) for name, matrix in base.items()}
            for folder, tensors in (("base", base), ("dense", dense)):
                (place / folder).mkdir(parents=True, exist_ok=True)
                save_file(tensors, place / folder / f"model-{number}.safetensors")
        return f"matrices of normal weights, {sparsity:.0%} zero"

    return make


def _smallest_zero(matrix: torch.Tensor, sparsity: float) -> torch.Tensor:
    count = int(matrix.shape[1] * sparsity)
    return matrix.scatter(1, matrix.abs().topk(count, dim=1, largest=False).indices, 0)


def _of_model(model: Path) -> Callable[[Path], str]:
    def make(place: Path) -> str:
        """Write the model in bfloat16, and pruned by the engine; return its name."""
        shutil.copytree(model, place / "base")
        for path in (place / "base").glob("*.safetensors"):
            save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
        recipe = Recipe.from_dict(
            {
                "criterion": "magnitude",
                "refinement": {"method": "none"},
                "pattern": {"type": "unstructured", "sparsity": MODEL_SPARSITY},
            }
        )
        sparsify(place / "base", place / "dense", recipe, torch.zeros(1, 16, dtype=torch.int64), device="cpu")
        return f"{model.name}, {MODEL_SPARSITY:.0%} of its matrices zero"

    return make


def _pack(shards: list[Path], artifact: Path) -> None:
    for path in shards:
        pack(path, artifact / f"{path.stem}{PACKED_SUFFIX}")


def _mask(shards: list[Path], base: Path, artifact: Path) -> None:
    origin = Origin(source="local", id="benchmark", revision=None)
    for path in shards:
        make_mask(path, base / path.name, artifact / f"{path.stem}{MASK_SUFFIX}", origin=origin)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _seconds(work: Callable[[], object], repeats: int) -> Iterator[float]:
    for _ in range(repeats):
        started = perf_counter()
        work()
        yield perf_counter() - started


def _zstd(shards: list[Path]) -> tuple[int, float]:
    """Return the compressed bytes, and the speed in MB/s."""
    codec, compressed, started = ZstdCompressor(level=1), 0, perf_counter()
    for path in shards:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                compressed += len(codec.compress(piece))
    return compressed, sum(path.stat().st_size for path in shards) / 1e6 / (perf_counter() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with config.json and safetensors")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scratch", type=Path, help="folder for about 4 GB of scratch files; the system's by default")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    return parser.parse_args()


if __name__ == "__main__":
    main()
