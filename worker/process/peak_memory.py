"""Peak memory of a run, from the kernel's high-water mark rather than from samples, which miss peaks."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from worker.engine.model.loading import choose_device

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Taken:
    """Peak bytes of a part of the run, above the level at its beginning; `device` is None without one."""

    host: int = 0
    device: int | None = None


@dataclass
class PeakMemory:
    """Peak memory since `start()`, which is called in an idle process that has already imported torch."""

    idle: int
    device: torch.device
    _host_before: int = field(default=0, init=False)
    _device_before: int = field(default=0, init=False)

    @classmethod
    def start(cls, device: str) -> "PeakMemory":
        """Reset the high-water marks of the host and of the device, as in DSNOT_DEVICE, to the current bytes."""
        memory = cls(idle=_resident("VmRSS"), device=choose_device(device))
        memory._reset_marks()
        return memory

    def read(self) -> dict[str, int | None]:
        """Return the peaks in bytes.

        `host`: resident above the idle process; `host_total`: all resident; `device`: allocated, None without one. Pages of
        mapped files count as resident, although the kernel may drop them.
        """
        peak = max(self._host_before, _resident("VmHWM"))
        device = self._on_device()
        return {
            "host": peak - self.idle,
            "host_total": peak,
            "device": None if device is None else max(device, self._device_before),
        }

    def begin_block(self) -> None:
        """Start the measurement that `of_block` returns; the run's own peak is kept."""
        self._keep_marks()
        self._reset_marks()

    def of_block(self) -> dict[str, int | None]:
        """Return the peak since `begin_block`: `host_total` and `device`, as in `read()`."""
        return {"host_total": _resident("VmHWM"), "device": self._on_device()}

    @contextmanager
    def part(self) -> Iterator[Taken]:
        """Yield a `Taken` that is filled in at the end of the context; the run's own peak is kept."""
        taken = Taken()
        self._keep_marks()
        self._reset_marks()
        resident, allocated = _resident("VmRSS"), self._on_device()
        try:
            yield taken
        finally:
            taken.host = _resident("VmHWM") - resident
            if allocated is not None:
                taken.device = (self._on_device() or 0) - allocated

    def _keep_marks(self) -> None:
        self._host_before = max(self._host_before, _resident("VmHWM"))
        self._device_before = max(self._device_before, self._on_device() or 0)

    def _reset_marks(self) -> None:
        with suppress(OSError):  # not allowed in some containers: the mark then includes earlier peaks
            _CLEAR.write_text("5")
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _on_device(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found, f"no {field} in {_STATUS}"
    return int(found[1]) * 1024
