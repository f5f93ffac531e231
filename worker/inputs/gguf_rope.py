"""Rope factors of a GGUF file, `rope_freqs.weight`, as Llama 3.1 and later have them: each divides one rotary frequency."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FACTORS = "rope_freqs.weight"
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Parameters of all releases since Llama 3.1; llama.cpp's converter computes the factors from them."""


def apply_factors(path: Path, config: Any) -> None:
    """Set the rope parameters of a config such that the model divides its frequencies by the file's factors."""
    import gguf

    stored = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == FACTORS)
    factors = torch.tensor(stored.data, dtype=torch.float64)
    llama3 = {"rope_type": "llama3", "factor": float(factors.max()), **_LLAMA3}
    theta = config.rope_parameters["rope_theta"]
    if torch.allclose(_llama3_factors(llama3, theta, len(factors)), factors, rtol=1e-4):
        config.rope_parameters = {"rope_theta": theta, **llama3}
    else:  # any factors, the same for short and long sequences
        config.rope_parameters = {
            "rope_theta": theta,
            "rope_type": "longrope",
            "factor": 1.0,
            "attention_factor": 1.0,
            "original_max_position_embeddings": config.max_position_embeddings,
            "short_factor": factors.tolist(),
            "long_factor": factors.tolist(),
        }


def _llama3_factors(parameters: dict[str, Any], theta: float, count: int) -> Tensor:
    """Return the divisors of all frequencies by Llama 3.1's rule: 1 for high ones, `factor` for low ones, between them a mean."""
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    wavelengths = 2 * torch.pi * theta ** (torch.arange(count, dtype=torch.float64) / count)
    turns = parameters["original_max_position_embeddings"] / wavelengths
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    divisors: Tensor = 1 / ((1 - smooth) / parameters["factor"] + smooth)
    return divisors
