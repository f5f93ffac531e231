"""Devices of the workers on this machine."""

import json
import subprocess
import sys

from service.embedded.processes import ServerError

_SECONDS = 120


def for_workers(device: str, count: int | None) -> list[str]:
    """Return each worker's DSNOT_DEVICE: with `auto`, one worker per GPU, or one on the CPU if there is none.

    Args:
        device: as in DSNOT_DEVICE.
        count: number of workers; with GPUs, at most one per GPU.

    Raises:
        ServerError: torch does not start, or there are fewer GPUs than requested workers.
    """
    if device == "cpu":
        return ["cpu"] * (count or 1)
    gpus = _gpus()
    if device == "auto" and not gpus:
        return ["cpu"] * (count or 1)
    chosen = gpus if device in ("auto", "cuda") else [device]
    if count is not None and count > len(chosen):
        raise ServerError(
            f"{count} workers requested, but only {len(chosen)} devices for {device}; start at most one worker per GPU"
        )
    return chosen[: count or (len(chosen) if device == "auto" else 1)]


def _gpus() -> list[str]:
    """Return torch's names of the GPUs, queried in a subprocess, because nothing here imports torch."""
    done = subprocess.run([sys.executable, "-m", "worker.devices"], capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0:
        raise ServerError(f"torch does not start on this machine: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return [gpu["name"] for gpu in json.loads(done.stdout)]
