"""What figures were measured on: the processor, its cores, the versions of what did the work, the day."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def about(packages: Sequence[str] = ("torch", "transformers")) -> dict[str, Any]:
    """JSON-ready, without anything that names the machine itself."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }


def processor() -> str:
    """The processor's model, as it calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
