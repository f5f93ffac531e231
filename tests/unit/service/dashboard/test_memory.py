"""The memory of blocks, from events of workers of any age."""

from typing import Any

from service.contract.states import EventType
from service.dashboard.memory import by_block
from service.database.tables.events import JobEvent


def pruned(block: int, **data: Any) -> JobEvent:
    return JobEvent(seq=block, type=EventType.BLOCK_PRUNED, data={"block": block, "total": 3, **data})


def test_the_last_report_of_each_block_counts() -> None:
    told = [
        pruned(0, peak_memory_bytes={"host_total": 10, "device": 5}),
        pruned(1, peak_memory_bytes={"host_total": 20, "device": 6}),
        pruned(0, resumed=True),  # taken over by a later attempt
        pruned(1, peak_memory_bytes={"host_total": 30, "device": None}),
    ]
    assert by_block(told) == [(0, 10, 5), (1, 30, None)]


def test_reports_of_older_workers_have_no_memory() -> None:
    assert by_block([pruned(0, seconds=1.2, resumed=False), JobEvent(seq=1, type=EventType.BLOCK_PRUNED, data={})]) == []
