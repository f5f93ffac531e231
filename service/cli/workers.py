"""`dsnot workers`: the workers and their current jobs."""

from typing import TYPE_CHECKING

from service.cli.output import AsJson, print_records
from service.kit.quantities import size

if TYPE_CHECKING:
    from service.client import Worker


def workers(as_json: AsJson = False) -> None:
    """List the workers: device, memory, current job. With --json: one line for each."""
    from service.client import Client

    with Client(patience=2) as client:
        found = client.workers()
    columns = ("worker", "state", "device", "memory>", "free disk>", "job")
    print_records(found, columns, _row, as_json=as_json, nothing="no workers; start one with `dsnot up` or `python -m worker`")


def _row(each: "Worker") -> tuple[str, ...]:
    memory, disk = size(each.used_memory_bytes), size(each.free_disk_bytes)
    return (each.id, each.state, each.device_name, memory, disk, each.job_id or "")
