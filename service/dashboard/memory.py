"""What a job's events tell of the memory that its blocks took."""

from collections.abc import Iterable

from service.database.tables.events import JobEvent

Point = tuple[int, int | None, int | None]
"""A block, and the peak in bytes while it was pruned: of the worker's process, and on its device."""


def by_block(pruned: Iterable[JobEvent]) -> list[Point]:
    """Of each block the last word, in their order. Older workers tell nothing, nor does whoever takes over a finished block."""
    found: dict[int, Point] = {}
    for event in pruned:
        peak, block = event.data.get("peak_memory_bytes"), event.data.get("block")
        if isinstance(peak, dict) and isinstance(block, int):
            found[block] = (block, peak.get("host_total"), peak.get("device"))
    return sorted(found.values())
