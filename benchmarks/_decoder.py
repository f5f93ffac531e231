"""Decoders of `benchmarks.runtime`: a process per contender that loads its model and answers requests, a JSON object a line.

Contenders stay loaded side by side, so that they can be measured alternately, while load time and memory are their own. The
loop also runs in the environments of other libraries: it needs NumPy alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks._alone import ChildFailed

Answer = dict[str, Any]


class Decoder(Protocol):
    """A loaded model with a cached sequence."""

    def set_threads(self, count: int) -> None:
        """Set the number of threads."""

    def rewind(self, length: int) -> None:
        """Shorten the cached sequence."""

    def append(self, tokens: Sequence[int], *, every: bool = False) -> NDArray[np.float32]:
        """Append tokens; return the logits (positions, vocabulary) after the last of them or after every one."""

    def matrix_bytes(self) -> int | None:
        """Return the bytes of the blocks' matrices; None if the library does not say."""


def serve(load: Callable[[], Decoder]) -> None:
    """Load the model and answer requests until standard input ends; whatever else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    started = perf_counter()
    decoder = load()
    print(json.dumps({"load": perf_counter() - started, "matrices": decoder.matrix_bytes()}), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(decoder, **json.loads(line))), file=answers)


def answer(decoder: Decoder, do: str, tokens: list[int], threads: int, length: int = 0) -> Answer:
    """Carry out a request behind the first `length` tokens of the cache: `prefill`, `decode` token by token, or `loss`."""
    decoder.set_threads(threads)
    decoder.rewind(length)
    if do == "loss":
        return {"loss": _loss(decoder.append(tokens, every=True)[:-1], tokens[1:])}
    started = perf_counter()
    chosen = [int(decoder.append(part)[-1].argmax()) for part in ([[token] for token in tokens] if do == "decode" else [tokens])]
    return {"seconds": perf_counter() - started, "chosen": chosen, **_memory()}


def _loss(logits: NDArray[np.float32], tokens: list[int]) -> float:
    """Return the mean negative log-likelihood."""
    above = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(above).sum(axis=1)) - above[np.arange(len(tokens)), tokens]))


def _memory() -> Answer:
    """Return the process's resident bytes, now and at most until now, pages of mapped files included."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(fields[field].split()[0]) * 1024 for name, field in (("resident", "VmRSS"), ("peak", "VmHWM"))}


class DecoderProcess:
    """The process of a contender, loaded when the constructor returns. Failures raise ChildFailed, which ends the benchmark."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """Start the command in the repository's root and wait until its model is loaded."""
        self.name, self.started = name, perf_counter()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 — closed in close()
        pipe, root = subprocess.PIPE, Path(__file__).parents[1]
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, cwd=root, bufsize=1)
        self.loaded = self._read()

    def ask(self, **request: Any) -> Answer:
        """Send a request and return the answer."""
        print(json.dumps(request), file=self._child.stdin)
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def _read(self) -> Answer:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            status = self._child.wait()
            self._errors.seek(0)
            raise ChildFailed(f"{self.name}: its process ended with status {status}: {self._errors.read()[-2000:]}")
        found: Answer = json.loads(line)
        return found
