"""Peak memory per block, from a job's events."""

from collections.abc import Iterable

from service.database.tables.events import JobEvent

Point = tuple[int, int | None, int | None]
"""Block, and the peak in bytes during its pruning: of the worker's process, and on its device."""


def by_block(pruned: Iterable[JobEvent]) -> list[Point]:
    """Return the last value of each block, in block order. Events of older workers and of reused blocks have none."""
    found: dict[int, Point] = {}
    for event in pruned:
        peak, block = event.data.get("peak_memory_bytes"), event.data.get("block")
        if isinstance(peak, dict) and isinstance(block, int):
            found[block] = (block, peak.get("host_total"), peak.get("device"))
    return sorted(found.values())
