"""Devices of the workers on this machine."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from service.embedded.processes import ServerError

_SECONDS = 120


def for_workers(device: str, count: int | None, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Return each worker's DSNOT_DEVICE: with `auto`, one worker per usable GPU, or one on the CPU if there is none.

    Args:
        device: as in DSNOT_DEVICE.
        count: number of workers; with GPUs, at most one per GPU.
        say: is given the reason why GPUs of this machine are not used.

    Raises:
        ServerError: torch does not start, the device cannot be used, or there are fewer GPUs than requested workers.
    """
    if device == "cpu":
        return ["cpu"] * (count or 1)
    most = count or (None if device == "auto" else 1)
    found = _probed(device, most)
    gpus, problem = [gpu["name"] for gpu in found["gpus"]], found["problem"]
    if not gpus and device != "auto":
        raise ServerError(f"the device is {device}, but {problem}")
    if gpus and count is not None and len(gpus) < count:
        reason = f" ({problem})" if problem else ""
        raise ServerError(
            f"{count} workers requested, but only {len(gpus)} devices for {device}{reason}; start at most one worker per GPU"
        )
    if problem:
        say(f"not used: {problem}")
    return gpus or ["cpu"] * (count or 1)


def _probed(device: str, most: int | None) -> dict[str, Any]:
    """Return the usable GPUs and the problem with others, found in a subprocess, because nothing here imports torch."""
    command = [sys.executable, "-m", "worker.gpu_probe", device, *([] if most is None else [str(most)])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"the GPUs do not answer within {_SECONDS} s; check nvidia-smi, or use --device cpu") from error
    if done.returncode != 0:
        raise ServerError(f"torch does not start on this machine: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
