"""The most memory a run has taken, from the kernel's own high-water mark rather than from samples that miss peaks."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class PeakMemory:
    """Measures from its creation by `start()`, in an idle process that has already imported torch."""

    idle: int

    @classmethod
    def start(cls) -> "PeakMemory":
        """Set the high-water mark back to what is resident now."""
        with suppress(OSError):  # not allowed in some containers: the mark then covers the imports, too
            _CLEAR.write_text("5")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return cls(idle=_resident("VmRSS"))

    def read(self) -> dict[str, int | None]:
        """`host`: resident bytes above the idle process's; `host_total`: all of them; `device`: allocated, null without one.

        Pages of mapped files count as resident, although the kernel may drop them.
        """
        peak = _resident("VmHWM")
        device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        return {"host": peak - self.idle, "host_total": peak, "device": device}


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found, f"no {field} in {_STATUS}"
    return int(found[1]) * 1024
