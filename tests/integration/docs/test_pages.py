"""What the pages of docs/ tell people to type works as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.api_server import BODY
from tests.support.trigger_events import HUB

DOCS = Path(__file__).parents[3] / "docs"
BLOCKS = [
    pytest.param(block, id=f"{page.stem} {number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, block in enumerate(re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
    if "curl" in block and "$DSNOT_URL" in block
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader would be, with the files that the pages name. Calls that are refused end the script."""
    here = tmp_path / "here"
    here.mkdir()
    (here / ".curlrc").write_text("fail-with-body\n")
    (here / "job.json").write_text(json.dumps(BODY))
    (here / "sweep.json").write_text(json.dumps({"template": BODY, "axes": {"/recipe/preset": ["fast", "best"]}}))
    (here / "event.json").write_text(json.dumps(HUB))
    (here / "tickets.jsonl").write_text('{"text": "It does not work."}\n{"text": "Now it does."}\n')
    (here / "tickets.txt").write_text("It does not work.\n\nNow it does.\n")
    return here


def test_every_page_for_api_users_has_calls() -> None:
    pages = {str(block.id).partition(" ")[0] for block in BLOCKS}
    assert pages >= {"use-the-api", "own-data", "sweeps", "triggers", "webhooks", "access"}


@pytest.mark.parametrize("block", BLOCKS)
def test_the_calls_of_a_page_succeed(block: str, api: httpx.Client, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DSNOT_")} | {
        "CURL_HOME": str(folder),
        "DSNOT_URL": str(api.base_url).rstrip("/"),
        "DSNOT_API_KEY": api.headers["authorization"].removeprefix("Bearer "),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = ["bash", "-euo", "pipefail", "-c", block]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [len(api.get(f"/v1/{kind}").json()["items"]) for kind in ("jobs", "triggers", "webhooks", "datasets", "keys")]
    assert sum(counts) > 5, "four data sets are built in, and there is a key; what the page makes comes on top"
