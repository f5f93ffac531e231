"""Local model folders without weights."""

import json
from pathlib import Path
from typing import Any

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
    (folder / weights).touch()
