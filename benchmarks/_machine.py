"""Setting of a measurement: processor, cores, package versions, date."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def about(packages: Sequence[str] = ("torch", "transformers")) -> dict[str, Any]:
    """Return the setting JSON-ready, without anything that identifies the machine."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }


def processor() -> str:
    """Return the model name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
