"""The benchmark of many workers, with few of them."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import workers


def test_simulated_workers_claim_and_hold_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "small"
    words = ["--workers", "3", "--jobs", "30", "--job-seconds", "0.5", "--claim-seconds", "3", "--hold-seconds", "3"]
    monkeypatch.setattr(sys, "argv", ["workers", *words, "--processes", "2", "--out", str(out)])
    workers.main()
    claims, holding = json.loads(out.with_suffix(".json").read_text())["figures"]
    assert 3 <= claims["count"] <= 30
    assert claims["errors"] == holding["errors"] == 0
    assert holding["count"] == 3, "every job that was held has succeeded"
    assert holding["connections"] >= 3
    assert holding["transactions_per_worker_and_second"] > 0
    page = out.with_suffix(".md").read_text()
    assert page.startswith("# Many workers")
    assert str(tmp_path) not in page
