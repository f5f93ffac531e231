"""`dsnot workers`: the workers and their current jobs."""

from service.cli.output import AsJson, note, print_json, print_table
from service.kit.quantities import size


def workers(as_json: AsJson = False) -> None:
    """List the workers: device, memory, current job. With --json: one line for each."""
    from service.client import Client

    with Client(patience=2) as client:
        found = client.workers()
    if as_json:
        for worker in found:
            print_json(worker.model_dump(mode="json"))
        return
    rows = [
        (
            worker.id,
            worker.state,
            worker.device_name,
            size(worker.used_memory_bytes),
            size(worker.free_disk_bytes),
            worker.job_id or "",
        )
        for worker in found
    ]
    if rows:
        print_table(("worker", "state", "device", "memory>", "free disk>", "job"), rows)
    else:
        note("no workers; start one with `dsnot up` or `python -m worker`")
