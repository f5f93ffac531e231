"""uv, configured like pip: mirrors, folders of wheels, constraints and certificates that pip knows, uv gets as variables.

    .venv/bin/python run_uv.py pip install …

uv's own variables, where set, have precedence.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""By pip's options. Both separate the values of a list by spaces, except that UV_FIND_LINKS takes commas."""


def environment() -> dict[str, str]:
    """Return the variables uv runs with."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = dict(line.split("=", 1) for line in listed.splitlines())
    values = {
        variable: " ".join(ast.literal_eval(settings[key]).split())
        for section in ("global", "install", ":env:")  # a later section overrides an earlier one, as in pip
        for option, variable in VARIABLES.items()
        if (key := f"{section}.{option}") in settings
    }
    if "UV_FIND_LINKS" in values:
        values["UV_FIND_LINKS"] = values["UV_FIND_LINKS"].replace(" ", ",")
    return {"UV_INDEX_STRATEGY": "unsafe-best-match"} | values | os.environ  # pip, too, compares the versions of all indexes


if __name__ == "__main__":
    uv = Path(sys.executable).with_name("uv")
    sys.exit(subprocess.run([uv, *sys.argv[1:]], env=environment()).returncode if uv.exists() else 1)
