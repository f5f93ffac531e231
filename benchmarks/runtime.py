"""Measure decoding on a CPU: pruned models packed by dsnot_runtime, the dense model in PyTorch and in llama.cpp.

    python -m benchmarks.runtime --model smollm2|1b|8b [--quick]

smollm2 is SmolLM2-135M-Instruct, pruned by Wanda; the others are random weights and masks in the shape of Llama models. Every
contender is a process of its own; PyTorch in bfloat16 and a few others are loaded side by side and get the same tokens
alternately. A ratio is the median over rounds of the seconds of PyTorch in bfloat16 divided by the contender's. Nothing else may
run on the machine. llama.cpp needs `make llama` once. 1b needs 14 GB of memory and of scratch space, less with --blocks.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any, Final

from benchmarks import _gguf
from benchmarks import _runtime_models as models
from benchmarks._decoder import DecoderProcess
from benchmarks._machine import about
from benchmarks._runtime_page import BASE, Row, line, markdown

Rows = dict[str, Row]

FULL: Final = {"rounds": 9, "tokens": 16, "windows": 10, "prefill": [33, 257, 2048]}
QUICK: Final = {"rounds": 2, "tokens": 8, "windows": 2, "prefill": [33, 257]}
"""Rounds over all contenders, tokens decoded in a round, windows of the perplexity, lengths of prompts."""
THREADS: Final = (1, 2)
"""Threads of decoding; everything else has the last number."""
PROMPT: Final = 33
"""Tokens in the cache when decoding begins."""
COMPARED: Final = 32
"""Tokens after which the most probable next ones are compared."""
LEAST_AGREEMENT: Final = 0.8
"""Share of them that llama.cpp in bfloat16 must have in common with PyTorch; else the GGUF file is wrong."""


def main() -> None:
    """Make the models, measure all contenders, write the results."""
    options = _options()
    facts = _facts(options)
    rows: Rows = {}
    with tempfile.TemporaryDirectory(prefix="dsnot-runtime-") as scratch:
        folder = (options.scratch or Path(scratch)) / f"{options.model}-{options.blocks}"
        folder.mkdir(parents=True, exist_ok=True)
        base = models.dense(options.model, options.blocks, folder)
        tokens = models.text(options.model, base, 2048)
        windows = models.windows(options.model, base, options.windows)
        makers = contenders(options.model, folder, facts["missing"])
        chosen = [make() for name, make in makers.items() if name == BASE or any(fnmatch(name, each) for each in options.only)]
        facts["load"] = [os.getloadavg()[0]]
        for first in range(1, max(2, len(chosen)), options.together):
            with ExitStack() as stack:
                measured, processes = start([chosen[0], *chosen[first:][: options.together]], tokens, stack)
                measure(measured, processes, tokens, options)
                for process in processes if windows else []:
                    losses = [process.ask(do="loss", tokens=window, threads=THREADS[-1])["loss"] for window in windows]
                    measured[process.name]["perplexity"] = math.exp(fmean(losses))
            rows |= measured
            facts["load"].append(os.getloadavg()[0])
            write(options.out, facts, rows)


def write(out: Path, facts: Row, rows: Rows) -> None:
    """Write OUT.json and OUT.md."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({"about": facts, "contenders": rows}, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(facts, rows))


@dataclass(frozen=True)
class Contender:
    """A model, and the command of the process that decodes with it."""

    name: str
    model: Path
    command: list[str]


def contenders(model: str, folder: Path, missing: Mapping[str, str]) -> dict[str, Callable[[], Contender]]:
    """Return functions by the contender's name; each makes the model if the folder lacks it."""

    def with_torch(name: str, kind: str, make: Callable[[], Path]) -> Contender:
        place = make()
        return Contender(name, place, [sys.executable, "-m", "benchmarks._torch_decoder", str(place), kind])

    def with_llama(name: str, kind: str) -> Contender:
        place = models.gguf(kind, folder)
        return Contender(name, place, [str(models.LLAMA / "bin" / "python"), "-m", "benchmarks._llama_decoder", str(place)])

    makers: dict[str, Callable[[], Contender]] = {}
    for kind in ("bf16", "fp32", "int8"):
        makers[f"torch {kind}"] = partial(with_torch, f"torch {kind}", kind, lambda: folder / "dense")
    for prefix, kind in {"dsnot": "packed", "dsnot int8": "packed-int8"}.items() if "dsnot" not in missing else ():
        for pattern in models.PRUNED:
            name = f"{prefix} {pattern}"
            makers[name] = partial(with_torch, name, kind, partial(models.pruned, model, pattern, folder))
    for kind in models.KINDS if "llama.cpp" not in missing else ():
        makers[f"llama.cpp {kind}"] = partial(with_llama, f"llama.cpp {kind}", kind)
    return makers


def start(chosen: Sequence[Contender], tokens: list[int], stack: ExitStack) -> tuple[Rows, list[DecoderProcess]]:
    """Start all contenders one after another; return their first figures, and the processes, which the stack ends."""
    rows: Rows = {}
    processes = []
    expected: list[int] = []
    for contender in chosen:
        models.cache_pages(contender.model)
        process = DecoderProcess(contender.name, contender.command)
        stack.callback(process.close)
        processes.append(process)
        process.ask(do="prefill", tokens=tokens[:PROMPT], threads=THREADS[-1])
        first = perf_counter() - process.started
        answer = process.ask(do="decode", tokens=tokens[PROMPT:][:COMPARED], length=PROMPT, threads=THREADS[-1])
        expected = expected or answer["chosen"]
        rows[contender.name] = {
            "load_seconds": process.loaded["load"],
            "first_token_seconds": first,
            "peak_bytes": answer["peak"],
            "resident_bytes": answer["resident"],
            "matrix_bytes": process.loaded["matrices"] or _gguf.matrix_bytes(contender.model),
            "agreement": fmean(map(int.__eq__, answer["chosen"], expected)),
        }
        print(line(contender.name, rows[contender.name]), flush=True)
    if rows.get("llama.cpp BF16", {"agreement": 1})["agreement"] < LEAST_AGREEMENT:
        raise SystemExit("llama.cpp chooses other tokens than PyTorch: the GGUF file is wrong; correct benchmarks/_gguf.py.")
    return rows, processes


def measure(rows: Rows, processes: Sequence[DecoderProcess], tokens: list[int], options: argparse.Namespace) -> None:
    """Add the figures of decoding and prefill to the rows."""
    for threads in THREADS:
        request = {"do": "decode", "tokens": tokens[PROMPT:][: options.tokens], "length": PROMPT, "threads": threads}
        _add(rows, f"decode, {threads} thread{(threads > 1) * 's'}", processes, options.rounds, request)
    for length in options.prefill:
        request = {"do": "prefill", "tokens": tokens[:length], "threads": THREADS[-1]}
        _add(rows, f"prefill, {length} tokens", processes, max(1, min(options.rounds, 1000 // length)), request)


def _add(rows: Rows, measurement: str, processes: Sequence[DecoderProcess], rounds: int, request: Mapping[str, Any]) -> None:
    """Send a request to all processes in every round, each round beginning with another; add medians of seconds and ratios."""
    seconds: dict[str, list[float]] = {process.name: [] for process in processes}
    for number in range(rounds):
        turn = number % len(processes)
        for process in [*processes[turn:], *processes[:turn]]:
            answer = process.ask(**request)
            seconds[process.name].append(answer["seconds"])
            rows[process.name]["largest_peak_bytes"] = answer["peak"]
    for name, own in seconds.items():
        ratios = [base / other for base, other in zip(seconds[BASE], own, strict=True)]
        figures = {"seconds": median(own), "tokens": len(request["tokens"]), "ratio": median(ratios), "ratios": ratios}
        rows[name][measurement] = figures
        print(f"{measurement}: {name} {median(own):.3f} s, x {median(ratios):.2f}", flush=True)


def _facts(options: argparse.Namespace) -> Row:
    """Return the setting of the measurements."""
    missing = {} if (reason := models.llama_missing()) is None else {"llama.cpp": reason}
    kernels = "none"
    if find_spec("dsnot_runtime"):
        kernels = import_module("dsnot_runtime.kernels").variant()
    else:
        missing["dsnot"] = "the package dsnot_runtime is missing; `make setup` installs it"
    names = ("model", "blocks", "rounds", "tokens", "windows")
    return about() | {name: getattr(options, name) for name in names} | {"kernels": kernels, "missing": missing}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("smollm2", *models.BLOCKS), required=True)
    parser.add_argument("--quick", action="store_true", help="two rounds, few tokens, two blocks of a synthetic model")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns for names of contenders, such as 'dsnot*'")
    parser.add_argument("--blocks", type=int, help="blocks of a synthetic model (default: 16 of 1b, 2 of 8b)")
    parser.add_argument(
        "--together", type=int, default=4, help="contenders loaded at a time, besides PyTorch in bfloat16 (default: 4)"
    )
    parser.add_argument("--scratch", type=Path, help="folder that keeps the models for the next run; else a temporary one")
    parser.add_argument("--out", type=Path, help="path of the results without suffix, else benchmarks/results/runtime-MODEL")
    options = parser.parse_args()
    options.__dict__ |= QUICK if options.quick else FULL
    options.blocks = options.blocks or min(models.BLOCKS.get(options.model, 0), 2 if options.quick else 99)
    options.out = options.out or Path(f"benchmarks/results/runtime-{options.model}")
    return options


if __name__ == "__main__":
    main()
