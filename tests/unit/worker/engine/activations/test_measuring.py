from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.engine import families
from worker.engine.activations.capture import record
from worker.engine.activations.measuring import measure
from worker.engine.activations.statistics import InputStatistics
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure
from worker.engine.report import Part, Stopwatch

CPU = torch.device("cpu")


def measured(folder: Path) -> tuple[dict[str, InputStatistics], Stopwatch]:
    arch, watch = load_structure(folder), Stopwatch()
    stream = record(arch, families.tokens(), CPU, lambda: None)
    with loaded_block(arch, arch.blocks[0], CPU):
        found = measure(
            arch.blocks[0], 0, stream, matrices=arch.blocks[0].matrices, with_gram=False, watch=watch, tick=lambda: None
        )
    return found, watch


@pytest.mark.parametrize(
    ("family", "groups"),
    [
        ("llama", [{"q_proj", "k_proj", "v_proj"}, {"o_proj"}, {"gate_proj", "up_proj"}, {"down_proj"}]),
        ("phi3", [{"qkv_proj"}, {"o_proj"}, {"gate_up_proj"}, {"down_proj"}]),
        ("opt", [{"q_proj", "k_proj", "v_proj"}, {"out_proj"}, {"fc1"}, {"fc2"}]),
        ("falcon", [{"query_key_value", "dense_h_to_4h"}, {"dense"}, {"dense_4h_to_h"}]),
    ],
)
@pytest.mark.parametrize("budget", [1, 10**6])
def test_shared_inputs_are_measured_once(
    checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    groups: list[set[str]],
    budget: int,
) -> None:
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", budget)
    found, watch = measured(checkpoint(family))
    shared: dict[int, set[str]] = {}
    for name, statistics in found.items():
        shared.setdefault(id(statistics), set()).add(name.split(".")[-2])
    assert sorted(map(sorted, shared.values())) == sorted(map(sorted, groups))
    assert {statistics.tokens for statistics in found.values()} == {5 * families.LENGTH}
    assert {statistics.samples for statistics in found.values()} == {5}
    assert watch.seconds[Part.STATISTICS] > 0
    assert watch.seconds[Part.FORWARD] > 0
