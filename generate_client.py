"""Generator of the blocking client from the asyncio client, by text replacement: `make client`.

`async` and `await` are dropped, work in a thread becomes a direct call, and names lose their prefix `Async` or `a`.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parent
SOURCE: Final = _ROOT / "service" / "client" / "aio"
TARGET: Final = _ROOT / "service" / "client" / "blocking"
_HEADER: Final = "# generated from aio/ by `make client`; do not edit\n"
_REPLACEMENTS: Final = (
    (r"\bawait asyncio\.to_thread\(([\w.]+),\s*", r"\1("),
    (r"\basyncio\b", "time"),
    (r"\b(async|await) ", ""),
    (r"\bAsyncio client\b", "Blocking client"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\ba(close|read|iter_bytes|iter_sse)\b", r"\1"),
    (r"\bservice\.client\.aio\b", "service.client.blocking"),
)


def generate(target: Path) -> None:
    """Write the modules of the blocking client into a folder."""
    for source in SOURCE.glob("[!_]*.py"):
        text = source.read_text()
        for pattern, replacement in _REPLACEMENTS:
            text = re.sub(pattern, replacement, text)
        (target / source.name).write_text(_HEADER + text)
    # sort the imports, remove those of replaced words, and format
    _ruff("check", "--fix", "--select=I,F401", "--config=lint.isort.known-first-party=['service']", str(target))
    _ruff("format", str(target))


def _ruff(command: str, *arguments: str) -> None:
    options = ["--quiet", "--no-cache", f"--config={_ROOT / 'pyproject.toml'}"]
    subprocess.run([sys.executable, "-m", "ruff", command, *options, *arguments], check=True)


if __name__ == "__main__":
    generate(TARGET)
