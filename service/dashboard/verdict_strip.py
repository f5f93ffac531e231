"""Figures at the head of a job's page: what pruning cost in quality, and what it gave in size and speed.

Metrics are read as stored by this or an older version of the worker: every part may be missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.contract.speed_ways import WAYS, timed
from service.contract.verdicts import Judgement
from service.dashboard.formats import figure, percent, share, size


@dataclass(frozen=True)
class Tile:
    """Figure with its name, and a second line in smaller type."""

    name: str
    value: str
    note: str = ""


def tiles(metrics: Mapping[str, Any], judgement: Judgement | None) -> list[Tile]:
    """Return the tiles of what has been measured; `judgement` is that on these metrics."""
    return [*_perplexity(metrics, judgement), *_agreement(metrics), *_zeros(metrics), *_size(metrics), *_decoding(metrics)]


def _perplexity(metrics: Mapping[str, Any], found: Judgement | None) -> Iterator[Tile]:
    pruned = _by_dataset(metrics, "pruned")
    dataset = found.dataset if found else next(iter(pruned), None)
    if dataset is None:
        return
    after = figure(pruned[dataset])
    if found is None:
        yield Tile(f"Perplexity, {dataset}", after, "dense model not measured")
        return
    before = figure(_by_dataset(metrics, "dense")[dataset])
    yield Tile(f"Perplexity, {dataset}", f"{before} → {after}", found.ratio_text)


def _by_dataset(metrics: Mapping[str, Any], model: str) -> dict[str, float]:
    measured = (metrics.get(model) or {}).get("perplexity") or ()
    return {each["dataset"]: each["perplexity"] for each in measured if each.get("perplexity") is not None}


def _agreement(metrics: Mapping[str, Any]) -> Iterator[Tile]:
    for each in (metrics.get("agreement") or ())[:1]:
        yield Tile("Agreement", percent(each.get("top1_agreement")), "of the next tokens are the dense model's")


def _zeros(metrics: Mapping[str, Any]) -> Iterator[Tile]:
    if metrics.get("sparsity") is not None:
        coverage = metrics.get("coverage")
        yield Tile("Zeros", share(metrics["sparsity"], 1), f"in {share(coverage, 1)} of the blocks' weights" if coverage else "")


def _size(metrics: Mapping[str, Any]) -> Iterator[Tile]:
    if metrics.get("bytes") is not None:
        packed = (metrics.get("weight_bytes") or {}).get("packed")
        yield Tile("Artifact", size(metrics["bytes"]), f"packed weights {size(packed)}" if packed else "all files")


def _decoding(metrics: Mapping[str, Any]) -> Iterator[Tile]:
    models = timed(metrics.get("speed") or {})
    rates = {name: (model.get("decode") or {}).get("median") for name, model in models.items()}
    dense = rates.pop(WAYS["dense"], None)
    measured = {name: rate for name, rate in rates.items() if rate}
    if not measured:
        return
    best = max(measured, key=lambda name: measured[name])
    ratio = f", × {measured[best] / dense:.3g}" if dense else ""
    before = f"{figure(dense)} → " if dense else ""
    yield Tile("Decoding, tokens per second", f"{before}{figure(measured[best])}", f"{best}{ratio}")
