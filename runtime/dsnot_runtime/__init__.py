"""Sparse language models in transformers on CPUs: matrices stay in memory as bits and kept values.

    import dsnot_runtime
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(FOLDER, quantization_config=dsnot_runtime.SparseConfig())

packs any pruned checkpoint while it loads.
"""

from dsnot_runtime import quantizer as _registered  # noqa: F401
from dsnot_runtime.config import SparseConfig
from dsnot_runtime.errors import SparseModelError
from dsnot_runtime.loading import load
from dsnot_runtime.weight import SparseWeight

__all__ = ["SparseConfig", "SparseModelError", "SparseWeight", "load"]
