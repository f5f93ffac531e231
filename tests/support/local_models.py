"""Local model folders with the weights of one small block."""

import json
from pathlib import Path
from typing import Any

from tests.support.shard_files import Stored, write

LOCAL: dict[str, Any] = {
    "model": {"source": "local", "id": "org/tiny"},
    "calibration": {"dataset": "c4-sample", "sequence_length": 64},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 64},
}
CONFIG = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 128}


def make_model(root: Path, name: str, config: Any, *, weights: str = "model.safetensors") -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    shapes = {"mlp.up_proj": (96, 64), "mlp.down_proj": (64, 96)}
    tensors: dict[str, Stored] = {f"layers.0.{name}.weight": ("F16", shape, bytes(2 * 96 * 64)) for name, shape in shapes.items()}
    write(folder / weights, tensors)
