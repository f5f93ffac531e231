"""Measurements of speed by newer and older workers."""

from typing import Any

import pytest

from service.cli.job_views import print_speed

RATE = {"median": 1234.5}


@pytest.mark.parametrize("more", [{}, {"prefills": {"33": RATE, "512": RATE}}])
def test_the_prefills_of_any_worker_are_listed(more: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    model = {"prefill": RATE, "decode": RATE, "weight_bytes": 1 << 20, **more}
    print_speed({"device": "a CPU", "prompt_tokens": 512, "dense": model})
    shown = capsys.readouterr().out
    assert "tokens per second, prefill of 512" in shown
    assert ("prefill of 33 " in shown) == bool(more)
