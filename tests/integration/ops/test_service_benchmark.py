import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import service
from benchmarks._figures import aiming, latencies

SMALL = {
    "--creations": "12",
    "--clients": "3",
    "--jobs": "40",
    "--listings": "4",
    "--streams": "3",
    "--events": "2",
    "--watched-seconds": "1",
    "--claims": "5",
    "--points": "6",
    "--sweeps": "2",
    "--visits": "2",
}


def run(monkeypatch: pytest.MonkeyPatch, out: Path) -> dict[str, Any]:
    words = [word for option in SMALL.items() for word in option]
    monkeypatch.setattr(sys, "argv", ["service", *words, "--queues", "5", "10", "--out", str(out)])
    service.main()
    document: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return document


def test_every_measurement_has_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = run(monkeypatch, tmp_path / "out" / "small")
    assert set(document["about"]) == {"date", "machine", "versions", "protocol"}
    counts: dict[str, set[int]] = {}
    for figure in document["figures"]:
        if figure["measurement"] == "watching":
            assert figure["without_streams"] > 0, "of those that count"
            assert figure["per_stream_and_minute"] == round(60 * figure["count"] / 3, 2)
            continue
        counts.setdefault(figure["measurement"], set()).add(figure["count"])
        assert 0 < figure["p50_ms"] <= figure["p99_ms"] <= figure["max_ms"], figure
        assert figure.get("per_second", 1) > 0
        assert figure.get("ratio", 1) > 0
        assert ("met" in figure) == ("aims" in figure)
    lists = {"listing": {4}, "searching": {4}, "sweeps": {2, 4}}
    assert counts == {"job creation": {12}, **lists, "pages": {2}, "event streams": {6}, "claims": {5}}
    page = (tmp_path / "out" / "small.md").read_text()
    assert all(f"| {figure['case']} |" in page for figure in document["figures"])
    assert str(tmp_path) not in page + json.dumps(document)


def test_percentiles_are_observed_values_compared_with_targets() -> None:
    figure = latencies("m", "c", [number / 1000 for number in range(200, 0, -1)])
    assert (figure["count"], figure["p50_ms"], figure["p99_ms"], figure["max_ms"]) == (200, 100.0, 198.0, 200.0)
    assert aiming(figure, p50_ms=100, p99_ms=198)["met"]
    assert not aiming(figure, p99_ms=197)["met"]
