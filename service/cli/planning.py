"""`dsnot jobs plan`: dry run of a job, with the options of `dsnot jobs submit`."""

from collections.abc import Callable
from typing import Any

from service.cli import job_body
from service.cli.identifiers import references
from service.cli.option_errors import named_options
from service.cli.output import duration, note, print_fields, print_json
from service.cli.shared_options import with_options_of
from service.kit.quantities import about, size

_OF_SUBMIT_ONLY = {"follow", "idempotency_key"}


def planning(submit: Callable[..., None]) -> Callable[..., None]:
    """Return the command that plans what `submit` would create; it takes its options from `submit`."""

    def plan(**options: Any) -> None:
        """Check and plan a job without creating it. Exit status: 0 it would be accepted, 1 refused."""
        from service.client import Client

        body = job_body.of_options(options)
        with Client(patience=2) as client:
            references(client, body)
            with named_options(options):
                found = client.jobs.plan(body).model_dump(mode="json", exclude_unset=True)
        if options["as_json"]:
            print_json(found)
            return
        print_fields(_facts(found))
        for warning in found["warnings"]:
            note(warning)

    return with_options_of(plan, submit, without=_OF_SUBMIT_ONLY)


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    model, queue, estimate = found["model"] or {}, found["queue"], found["estimate"]
    return [
        ("model", str(found["spec"]["model"]["id"])),
        ("revision", found["spec"]["model"].get("revision") or ""),
        ("architecture", model.get("architecture") or ""),
        ("prunable", f"{model['prunable_share']:.1%} of {model['parameters']:,} parameters" if model else ""),
        ("blocks", str(model.get("blocks", ""))),
        ("artifact", size(found["artifact_bytes"]) if found["artifact_bytes"] else ""),
        ("disk", f"up to {size(found['disk_bytes'])} of the worker's" if found["disk_bytes"] else ""),
        ("in use", _serving(found.get("serving"))),
        *(_memory(each) for each in found["memory"]),
        *(("device", _device(each)) for each in found.get("devices", [])),
        ("effort", found["spec"].get("effort") or ""),
        ("calibration", f"{found['calibration_tokens']:,} tokens"),
        ("queue", f"place {queue['position']}; {_workers(queue['able_workers'])} could take it, {queue['idle_workers']} idle"),
        ("quota", f"{queue['queued_jobs']} of {queue['max_queued_jobs']} jobs queued"),
        ("starts", _in(estimate["starts_in_seconds"])),
        ("takes", _takes(estimate)),
    ]


def _serving(memory: dict[str, int] | None) -> str:
    """Return what the weights take in memory, as far as packing changes it."""
    if memory is None:
        return ""
    dense, packed, rounded = (size(memory[name]) for name in ("dense", "packed", "packed_int8"))
    return (
        f"{dense} of weights; on CPUs with dsnot-runtime {packed}, in int8 {rounded}"
        if packed != dense
        else f"{dense} of weights"
    )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _memory(needed: dict[str, Any]) -> tuple[str, str]:
    device = f"{size(needed['device_bytes'])} of the GPU's and " if needed["device_bytes"] else ""
    return f"memory ({needed['device']})", f"{device}{size(needed['host_bytes'])} of the host's, most while {needed['phase']}"


def _device(found: dict[str, Any]) -> str:
    from service.contract.devices import DeviceInfo

    return str(DeviceInfo.model_validate(found))


def _in(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"in about {duration(seconds)}" if seconds else "immediately"


def _takes(estimate: dict[str, Any]) -> str:
    basis = estimate["basis"]
    basis_note = f" (based on {basis['jobs']} {'job' if basis['jobs'] == 1 else 'jobs'})" if basis["jobs"] else ""
    seconds = estimate["run_seconds"]
    if seconds is None:
        return estimate.get("note") or "unknown"
    ends = [estimate.get(f"run_seconds_{end}") for end in ("low", "high")]  # none from an older service
    return about(seconds, *ends) + basis_note
