"""Peers of `benchmarks.speed`: other pruning libraries, run in an environment and a process of their own.

The only one so far is llmcompressor (https://github.com/vllm-project/llm-compressor), by its own entry point and with its own
defaults. Its `sequential` pipeline, which it chooses for pruning, does what the engine does: a block is calibrated on the
outputs of the pruned blocks before it, so that tokens go through it twice. Its `basic` pipeline is its fastest: tokens go
through the dense model once and everything is pruned at the end, which is a different, weaker protocol.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from torch import Tensor

from benchmarks._alone import ChildFailed, last_line
from benchmarks._masks import Masks, agreement, matrix_names

ENVIRONMENT: Final = Path(__file__).parents[1] / ".venv-peers"
_SCRIPT: Final = Path(__file__).with_name("_llmcompressor.py")


@dataclass(frozen=True)
class Peer:
    """An algorithm of llmcompressor in one of its pipelines."""

    algorithm: str
    pipeline: str


PEERS: Final = {
    "wanda": Peer("wanda", "sequential"),
    "wanda-basic": Peer("wanda", "basic"),
    "sparsegpt": Peer("sparsegpt", "sequential"),
    "sparsegpt-basic": Peer("sparsegpt", "basic"),
}


def unavailable_reason(device: torch.device) -> str | None:
    """Return why no peer can be measured here, with the remedy; None if they can be."""
    if device.type != "cpu":
        return "peers are measured on a CPU only (--device cpu)"
    if not any(ENVIRONMENT.glob(".ready-*")):
        return "the peers' environment is missing; `make peers` creates it"
    return None


@dataclass(frozen=True)
class Setting:
    """Setting of every peer, the same as the engine's."""

    model: str
    sparsity: float
    dtype: str
    batch: int  # windows that go through a block together
    threads: int


def run(peer: Peer, setting: Setting, tokens: Tensor, wanda: Masks) -> dict[str, Any]:
    """Run a peer on tokens (samples, length); return its figures, or its error. `wanda`: the engine's masks."""
    row = asdict(peer) | {"dtype": setting.dtype}
    with tempfile.TemporaryDirectory() as folder:
        places = {"tokens": str(Path(folder) / "tokens"), "masks": str(Path(folder) / "masks")}
        save_file({"tokens": tokens}, places["tokens"])
        case = json.dumps(asdict(peer) | asdict(setting) | places)
        try:
            found = last_line([str(ENVIRONMENT / "bin" / "python"), "-I", str(_SCRIPT)], about=peer.algorithm, given=case)
        except ChildFailed as failure:
            return {**row, "failed": str(failure).strip().splitlines()[-1]}
        ours = wanda if peer.algorithm == "wanda" else {}
        return row | figures(found, matrix_names(Path(setting.model)), load_file(places["masks"]), ours)


def figures(found: dict[str, Any], matrices: set[str], masks: Masks, ours: Masks) -> dict[str, Any]:
    """Return the result of a peer's process with derived figures; `matrices` are those that the engine prunes."""
    pruned: dict[str, tuple[int, int]] = found["matrices"]
    weights = sum(size for _, size in pruned.values())
    return found | {
        "sparsity": sum(zeros for zeros, _ in pruned.values()) / weights if weights else 0.0,
        "matrices": len(pruned),
        "left_out": sorted(matrices - pruned.keys()),
        "added": sorted(pruned.keys() - matrices),
        "agreement": agreement(ours, masks),
    }
