"""Figures of `benchmarks.gpu`: predictions of whole runs, made from the walked blocks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks._figures import Figure, aiming
from benchmarks._gpu_walk import LENGTH, SAMPLES, SHAPES, WALKED, outlined
from service.contract.devices import DeviceClass
from service.contract.recipe.presets import PRESETS as ALL_PRESETS
from service.contract.spec import JobSpec
from service.planning.memory import TextTokens, peak
from tests.support.strict_device import Rates

Case = Mapping[str, Any]
PRESETS: Final = tuple(ALL_PRESETS)
BARE: Final = "bare pass"
TOLERANCE: Final = 15
"""Percent by which a plan may differ from the simulation."""
FILES: Final = 3e9
"""Bytes per second of reading and of writing files, cached or not."""
HASHING: Final = 2e9
"""Bytes per second of SHA-256."""
_AIMS: Final = {"dsnot-paper": 2.1, "dsnot-reference": 2.1, "balanced": 4.0}
"""Maximum seconds of a run, in bare passes."""
_UNPLANNED: Final = {"context", "fragmentation"}
"""Terms of a plan that no simulation has."""


def setting() -> dict[str, str]:
    """Return the protocol and the rates, for the head of the page."""
    rates = Rates()
    return {
        "protocol": f"simulated, nothing measured on a GPU; {SAMPLES} x {LENGTH} calibration tokens, 50 %; a block of zeros is "
        f"walked with {' and '.join(map(str, WALKED))} samples and multiplied by the number of blocks; loops of swaps from one "
        "chunk of random rows at an eighth of its rows and columns",
        "rates": f"launch {rates.launch * 1e6:g} µs, wait {rates.wait * 1e6:g} µs, least kernel {rates.kernel * 1e6:g} µs; "
        f"TFLOP/s: bf16 {rates.half / 1e12:g}, fp32 {rates.single / 1e12:g}, fp64 {rates.double / 1e12:g}; "
        f"GB/s: memory {rates.memory / 1e9:g}, pinned {rates.pinned / 1e9:g}, pageable {rates.pageable / 1e9:g}, "
        f"operators on the CPU {rates.host / 1e9:g}, files {FILES / 1e9:g}, SHA-256 {HASHING / 1e9:g}",
        "seconds": "device, host, transfers and files are busy times; a run is the later of the clocks of host and device, and "
        "then its files, as if nothing of them overlapped",
        "limit": f"two passes at {rates.half / 1e12:g} TFLOP/s, and reading and writing the weights once",
        "bare pass": "a forward pass of the tokens through loaded blocks, activations copied from and to the host",
    }


def figures(cases: Sequence[Case]) -> list[Figure]:
    """Return all figures of the finished cases."""
    presets = [case for case in cases if case["case"][1] != BARE]
    bare = {case["case"][0]: case["block"]["seconds"] for case in cases if case["case"][1] == BARE}
    return [
        *map(_counted, presets),
        *(_predicted(case, bare.get(case["case"][0])) for case in presets),
        *map(_remembered, presets),
        *(line for case in presets if case["case"][0] == "7B" for line in _lines(case)),
    ]


def _counted(case: Case) -> Figure:
    cost = case["block"]["cost"]
    return {
        "measurement": "one block: launches and waits",
        "case": " ".join(case["case"]),
        "launches_per_sample": round(case["per_sample"]),
        "launches": round(cost["launches"]),
        "waits": round(cost["waits"]),
        "TB_in_device_memory": round(cost["memory_bytes"] / 1e12, 2),
        "TFLOP": round(cost["flop"] / 1e12),
        "GB_over_the_bus": round(cost["bus_bytes"] / 1e9, 1),
        "GB_in_files": round((case["block"]["read"] + case["block"]["written"]) / 1e9, 1),
    }


def _predicted(case: Case, bare: float | None) -> Figure:
    name, preset = case["case"]
    run, least = run_seconds(case), limit(name)
    figure = {
        "measurement": "whole run: predicted seconds",
        "case": f"{name} {preset}",
        **{part: round(seconds, 1) for part, seconds in run.items()},
        "limit": round(least, 1),
        "times_limit": round(run["run"] / least, 1),
    }
    if bare is None:
        return figure
    figure |= {"bare_pass": round(bare * SHAPES[name][1], 1)}
    figure |= {"times_bare_pass": round(run["run"] / (bare * SHAPES[name][1]), 1)}
    return aiming(figure, times_bare_pass=_AIMS[preset]) if preset in _AIMS else figure


def run_seconds(case: Case) -> dict[str, float]:
    """Return the predicted busy seconds of device, host, transfers and files, and those of the run."""
    name, blocks, rates = case["case"][0], SHAPES[case["case"][0]][1], Rates()
    before, block = case["before"], case["block"]

    def total(what: str) -> float:
        return float(before["cost"][what] + blocks * block["cost"][what])

    weights = outlined(name).weight_bytes
    host = rates.launch * total("launches") + rates.wait * total("waits") + total("host_bytes") / rates.host
    files = blocks * file_seconds(block) + 2 * weights / FILES + weights / HASHING
    clocks = before["seconds"] + blocks * block["seconds"]
    parts = {"device": total("device_seconds"), "host": host, "transfers": total("bus_seconds"), "files": files}
    return parts | {"run": clocks + files}


def file_seconds(work: Case) -> float:
    """Return the seconds of the files that a work reads and writes."""
    return float(work["read"] + work["written"]) / FILES


def limit(name: str) -> float:
    """Return the seconds of two forward passes through the blocks, and of reading and writing the weights once."""
    shape, blocks = SHAPES[name]
    tokens = SAMPLES * LENGTH
    attention = 2 * LENGTH * shape.width  # per token, causal
    flop = blocks * tokens * (2 * shape.block_parameters + attention)
    return 2 * flop / Rates().half + 2 * outlined(name).weight_bytes / FILES


def planned_bytes(name: str, preset: str) -> int:
    """Return the device's memory that a plan counts for pruning, without context and fragmentation."""
    spec = JobSpec.model_validate(
        {
            "model": {"id": "synthetic"},
            "recipe": {"preset": preset},
            "calibration": {"num_samples": SAMPLES, "sequence_length": LENGTH},
            "evaluation": {"perplexity": [], "samples": None},
        }
    )
    need = peak(outlined(name), spec, DeviceClass.GPU, TextTokens(0, 0)).device
    assert need is not None
    return sum(size for term, size in need.terms.items() if term not in _UNPLANNED)


def _remembered(case: Case) -> Figure:
    planned = planned_bytes(*case["case"])
    ratio = planned / case["peak"]
    figure = {
        "measurement": "one block: device memory",
        "case": " ".join(case["case"]),
        "simulated_GiB": round(case["peak"] / 2**30, 2),
        "planned_GiB": round(planned / 2**30, 2),
        "off_by_percent": round(100 * abs(ratio - 1)),
        "ratio": round(ratio, 2),
    }
    return aiming(figure, off_by_percent=TOLERANCE)


def _lines(case: Case) -> Iterator[Figure]:
    """Yield the lines that cost most in a walk with few samples."""
    for place, cost in case["lines"].items():
        yield {
            "measurement": f"most expensive lines: {' '.join(case['case'])}, {WALKED[-1]} samples, without numbers",
            "line": place,
            "calls": round(cost["calls"]),
            "launches": round(cost["launches"]),
            "waits": round(cost["waits"]),
            "device_ms": round(1000 * cost["device_seconds"], 1),
            "bus_ms": round(1000 * cost["bus_seconds"], 1),
        }
