"""On which devices the workers of this machine are to compute."""

import json
import subprocess
import sys

from service.embedded.processes import ServerError

_SECONDS = 120


def for_workers(device: str, count: int | None) -> list[str]:
    """What each worker's DSNOT_DEVICE is: with `auto`, one worker for every GPU, or one on the CPU where there is none.

    Args:
        device: as in DSNOT_DEVICE.
        count: how many workers there shall be; with GPUs, at most one for each.

    Raises:
        ServerError: torch does not start, or there are fewer GPUs than workers asked for.
    """
    if device == "cpu":
        return ["cpu"] * (count or 1)
    gpus = _gpus()
    if device == "auto" and not gpus:
        return ["cpu"] * (count or 1)
    chosen = gpus if device in ("auto", "cuda") else [device]
    if count is not None and count > len(chosen):
        raise ServerError(f"{count} workers were asked for, and there are {len(chosen)} devices for {device}: one worker per GPU")
    return chosen[: count or (len(chosen) if device == "auto" else 1)]


def _gpus() -> list[str]:
    """As torch names them. Asked of another process, because nothing here imports torch."""
    done = subprocess.run([sys.executable, "-m", "worker.devices"], capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0:
        raise ServerError(f"torch does not start on this machine: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return [gpu["name"] for gpu in json.loads(done.stdout)]
