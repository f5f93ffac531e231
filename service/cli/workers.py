"""`dsnot workers`: the workers and their current jobs."""

from typing import TYPE_CHECKING

from service.cli.output import AsJson, note, print_records
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
    for each in found if not as_json else ():
        if each.device_problem and each.state != "stopped":
            note(f"{each.id} uses its CPU: {each.device_problem}")


def _row(each: "Worker") -> tuple[str, ...]:
    from service.contract.devices import DeviceInfo

    memory, disk = size(each.used_memory_bytes), size(each.free_disk_bytes)
    facts = each.versions | {"compute_capability": each.compute_capability}
    device = str(DeviceInfo.of(each.device_name, each.device_memory_bytes, facts))
    return (each.id, each.state, device, memory, disk, each.job_id or "")
