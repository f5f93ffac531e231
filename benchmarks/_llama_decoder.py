"""Decoder of `benchmarks.runtime` by llama.cpp, in `.venv-llama`; of this project it imports the loop of requests alone.

    .venv-llama/bin/python -m benchmarks._llama_decoder MODEL.gguf                      # serves
    .venv-llama/bin/python -m benchmarks._llama_decoder MODEL.gguf TARGET.gguf Q8_0     # quantizes

Everything has llama.cpp's defaults: weights are mapped from the file, or repacked for this processor while they are loaded.
"""

import ctypes
import logging
import sys
from collections.abc import Sequence
from typing import Any

import llama_cpp as lib  # type: ignore[import-not-found]
import numpy as np
from numpy.typing import NDArray

from benchmarks._decoder import serve

_LENGTH = 4096  # tokens of the context


class LlamaDecoder:
    """A model and a context of llama.cpp."""

    def __init__(self, path: str) -> None:
        """Load the file; llama.cpp prints the reason if it cannot."""
        logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)
        model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        settings = lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = _LENGTH
        self._context = lib.llama_init_from_model(model, settings)
        assert self._context, path
        self._memory = lib.llama_get_memory(self._context)
        self._vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
        self._batch: Any = lib.llama_batch_init(_LENGTH, 0, 1)
        self._used = 0

    def set_threads(self, count: int) -> None:
        """Set the number of threads."""
        lib.llama_set_n_threads(self._context, count, count)

    def rewind(self, length: int) -> None:
        """Shorten the cached sequence."""
        assert lib.llama_memory_seq_rm(self._memory, 0, length, -1)
        self._used = length

    def append(self, tokens: Sequence[int], *, every: bool = False) -> NDArray[np.float32]:
        """Append tokens and return logits."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, self._used + index
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
            batch.logits[index] = every or index == len(tokens) - 1
        assert lib.llama_decode(self._context, batch) == 0
        self._used += len(tokens)
        logits = ctypes.cast(lib.llama_get_logits(self._context), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(logits, (len(tokens) if every else 1, self._vocabulary))

    def matrix_bytes(self) -> None:
        """Return None; `_gguf.matrix_bytes` reads it from the file."""


def quantize(source: str, target: str, kind: str) -> None:
    """Write a quantized file as `llama-quantize` does."""
    settings = lib.llama_model_quantize_default_params()
    settings.ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{kind}")
    assert lib.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(settings)) == 0, target


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(lambda: LlamaDecoder(sys.argv[1]))
    else:
        quantize(*sys.argv[1:])
