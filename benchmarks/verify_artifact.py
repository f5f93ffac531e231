"""Check a downloaded artifact against its source with plain transformers and safetensors, independently of the engine.

    python benchmarks/verify_artifact.py SOURCE ARTIFACT METRICS.json

SOURCE is the dense checkpoint, ARTIFACT the folder that `dsnot artifacts download` made, METRICS.json the output of
`dsnot jobs show JOB --json`. Prints the comparison; exit status 1 if a figure differs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from service.settings import get_settings
from worker.inputs.datasets import read_text

TOLERANCE = 1e-3


def perplexity(folder: Path, text: str, length: int, windows: int) -> float:
    """Return the perplexity by the usual protocol: text tokenised once, non-overlapping windows, exp of the mean window loss."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt").input_ids[0]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        rows = tokens[: windows * length].view(windows, length)
        losses = [model(row[None], labels=row[None]).loss.double() for row in rows]
    return float(torch.stack(losses).mean().exp())


def tensors(folder: Path) -> dict[str, Path]:
    """Return the file of each tensor."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found.update(dict.fromkeys(file.keys(), path))
    return found


def load(path: Path, name: str) -> torch.Tensor:
    """Return one tensor of a file."""
    with safe_open(path, "pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
        return tensor


def compare_tensors(source: Path, artifact: Path) -> list[str]:
    """Return the errors in the tensors: names, dtypes, bits of unpruned ones, zeros of pruned ones."""
    report = json.loads((artifact / "sparsity_report.json").read_text())
    pruned = {matrix["name"]: matrix for matrix in report["matrices"]}
    before, after, wrong, zeros, total = tensors(source), tensors(artifact), [], 0, 0
    if before.keys() != after.keys():
        wrong.append(f"tensor names differ: {sorted(before.keys() ^ after.keys())[:5]}")
    for name in before.keys() & after.keys():
        old, new = load(before[name], name), load(after[name], name)
        if old.dtype != new.dtype or old.shape != new.shape:
            wrong.append(f"{name}: {old.dtype} {tuple(old.shape)} became {new.dtype} {tuple(new.shape)}")
        elif name not in pruned and not torch.equal(old.view(torch.uint8), new.view(torch.uint8)):
            wrong.append(f"{name} is not pruned but its bytes changed")
        elif name in pruned:
            share = float((new == 0).double().mean())
            zeros, total = zeros + int((new == 0).sum()), total + new.numel()
            if abs(share - pruned[name]["sparsity"]) > 1e-9:
                wrong.append(f"{name}: {share:.6f} zeros, the report says {pruned[name]['sparsity']:.6f}")
    print(f"{len(pruned)} matrices, {zeros} of {total} weights are zero: {zeros / total:.6f}; report: {report['sparsity']:.6f}")
    return wrong


def compare_perplexities(source: Path, artifact: Path, metrics: dict[str, Any]) -> list[str]:
    """Return the published perplexities that differ from those computed here."""
    wrong = []
    for name, folder in (("dense", source), ("pruned", artifact)):
        for published in metrics.get(name, {}).get("perplexity", []):
            text = "\n\n".join(read_text(published["dataset"], get_settings().cache_dir / "datasets"))
            ours = perplexity(folder, text, published["sequence_length"], published["windows"])
            difference = ours / published["perplexity"] - 1
            print(f"{name} {published['dataset']}: published {published['perplexity']:.4f}, plain {ours:.4f} ({difference:+.4%})")
            if abs(difference) > TOLERANCE:
                wrong.append(f"{name} perplexity on {published['dataset']} is off by {difference:+.3%}")
    return wrong


def main() -> int:
    """Print all comparisons; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("source", "artifact", "metrics"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    job = json.loads(given.metrics.read_text())
    wrong = compare_tensors(given.source, given.artifact)
    wrong += compare_perplexities(given.source, given.artifact, job.get("metrics", job))
    print("\n".join(wrong) or "no differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
