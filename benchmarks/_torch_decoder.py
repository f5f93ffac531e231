"""Decoder of `benchmarks.runtime` by transformers: PyTorch's own matrices, or those of `dsnot_runtime`.

python -m benchmarks._torch_decoder FOLDER bf16|fp32|int8|packed|packed-int8
"""

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.models.llama import modeling_llama as _imported  # noqa: F401 — loading does not include the import

from benchmarks._decoder import serve


class TorchDecoder:
    """A model of transformers with its usual cache."""

    def __init__(self, model: Any) -> None:
        self._model, self._cache = model.eval(), DynamicCache()

    def set_threads(self, count: int) -> None:
        """Set the number of threads."""
        torch.set_num_threads(count)

    def rewind(self, length: int) -> None:
        """Shorten the cached sequence."""
        if length == 0:
            self._cache = DynamicCache(config=self._model.config)
        elif surplus := self._cache.get_seq_length() - length:
            self._cache.crop(-surplus)

    @torch.inference_mode()
    def append(self, tokens: Sequence[int], *, every: bool = False) -> NDArray[np.float32]:
        """Append tokens and return logits."""
        ids = torch.tensor([tokens])
        logits: Tensor = self._model(ids, past_key_values=self._cache, logits_to_keep=0 if every else 1).logits
        return logits[0].float().numpy()

    def matrix_bytes(self) -> int:
        """Return the bytes of the blocks' matrices."""
        return sum(map(_bytes, self._model.model.layers.modules()))


def _bytes(module: nn.Module) -> int:
    if isinstance(module, torch.ao.nn.quantized.dynamic.Linear):
        quantized: Tensor = module.weight()  # type: ignore[no-untyped-call]
        return quantized.int_repr().nbytes
    return int(getattr(module.weight, "packed_bytes", module.weight.nbytes)) if isinstance(module, nn.Linear) else 0


def load(folder: str, kind: str) -> Any:
    """Load the model as its users do; `int8` is PyTorch's dynamic quantization, deprecated, but without other packages."""
    if kind in ("bf16", "fp32"):
        return AutoModelForCausalLM.from_pretrained(folder, dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[kind])
    if kind == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantize: Any = torch.ao.quantization.quantize_dynamic
            return quantize(load(folder, "fp32"), {nn.Linear}, torch.qint8, inplace=True)
    import dsnot_runtime

    config = dsnot_runtime.SparseConfig("int8" if kind == "packed-int8" else "stored")
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.bfloat16)


if __name__ == "__main__":
    serve(lambda: TorchDecoder(load(*sys.argv[1:])))
