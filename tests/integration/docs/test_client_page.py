"""What docs/reference/client.md shows works as it stands there, from top to bottom, on a real service with a real worker."""

import os
import re
import subprocess
import sys
from pathlib import Path

from service import client as package
from service.client import Client
from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import key_for, serving
from tests.support.client_kinds import GROUPS, calls_of
from tests.support.threads import worker_thread
from tests.support.tiny_model import save_model

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "client.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_work(settings: Settings, database: Database, tmp_path: Path) -> None:
    assert len(BLOCKS) >= 4
    here, key = tmp_path / "here", key_for(database, Scope.ADMIN)
    here.mkdir()
    (here / "page.py").write_text("\n\n".join(BLOCKS))
    save_model(settings.model_root / "SmolLM2-135M-Instruct")
    with worker_thread(settings), serving(settings) as url:
        values = os.environ | {"DSNOT_URL": url, "DSNOT_API_KEY": key, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "page.py"]
        done = subprocess.run(command, cwd=here, env=values, capture_output=True, text=True, check=False, timeout=240)
        with Client(url, key) as client:
            jobs = [client.jobs.wait(job.id) for job in client.jobs.list()]  # the last cancellation may still be under way
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(job.state for job in jobs) == ["cancelled", "cancelled", *["succeeded"] * 4]
    assert (here / "pruned" / "model.safetensors").is_file()
    assert "/model/id" in done.stdout


def test_the_page_names_every_call_and_every_error() -> None:
    client = Client("http://a", "b")
    named = {name for each in (client, *(getattr(client, group) for group in GROUPS)) for name in calls_of(each)}
    errors = {
        name for name in package.__all__ if isinstance(found := getattr(package, name), type) and issubclass(found, Exception)
    }
    assert {name for name in named | errors if f"`{name}`" not in PAGE} <= {"IdempotencyInFlight"}
