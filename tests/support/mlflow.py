"""A real MLflow server with its own users, on loopback, with SQLite and files in a folder.

It lives in an environment of its own, `.venv-mlflow`, which `make test` makes.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from service.embedded.processes import Child, free_port, wait_until
from service.settings import Settings
from tests.support.waiting import CEILING_SECONDS

PYTHON = Path(__file__).parents[2] / ".venv-mlflow" / "bin" / "python"
USER = "admin"


@dataclass(frozen=True)
class Mlflow:
    """Where the server is, and who may use it."""

    url: str
    password: str

    def settings(self, settings: Settings, **more: Any) -> Settings:
        """Settings that lead to it."""
        access = {"mlflow_username": USER, "mlflow_password": SecretStr(self.password)}
        place = {"mlflow_tracking_uri": self.url, "public_url": "https://dsnot.example"}
        return settings.model_copy(update={**place, **access, "mlflow_seconds": 4 * CEILING_SECONDS, **more})

    def get(self, path: str, **query: str) -> Any:
        """The answer to a query, as a user of the server gets it."""
        return self._call("GET", path, params=query)

    def post(self, path: str, **body: Any) -> Any:
        return self._call("POST", path, json=body)

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """All runs of an experiment, the oldest first."""
        number = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        found = self.post("runs/search", experiment_ids=[number], order_by=["attributes.start_time ASC"]).get("runs", [])
        assert isinstance(found, list)
        return found

    def versions(self, model: str) -> list[dict[str, Any]]:
        """All versions of a registered model, by number."""
        found = self.get("model-versions/search", filter=f"name = '{model}'").get("model_versions", [])
        return sorted(found, key=lambda each: int(each["version"]))

    def file(self, run: dict[str, Any], path: str) -> bytes:
        """A file of a run, as its pages show it."""
        answer = httpx.get(f"{self.url}/get-artifact", params={"run_id": run["info"]["run_id"], "path": path}, auth=self._auth)
        return answer.raise_for_status().content

    @property
    def _auth(self) -> tuple[str, str]:
        return USER, self.password

    def _call(self, method: str, path: str, **content: Any) -> Any:
        url = f"{self.url}/api/2.0/mlflow/{path}"
        answer = httpx.request(method, url, auth=self._auth, timeout=CEILING_SECONDS, verify=False, **content)  # noqa: S501
        assert answer.is_success, answer.text
        return answer.json()


@contextmanager
def running(folder: Path) -> Iterator[Mlflow]:
    """A server without runs; its processes are gone afterwards."""
    assert PYTHON.exists(), "the tests' MLflow server is not installed: run `make test`, which makes .venv-mlflow"
    server = Mlflow(f"http://127.0.0.1:{free_port()}", secrets.token_urlsafe(12))
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\nadmin_username = {USER}\n"
        f"admin_password = {server.password}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 3600\n"  # hashing the password takes most of the time of a request
    )
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    port = server.url.rpartition(":")[2]
    command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1", *places]
    environment = dict(os.environ) | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(12),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    child = Child.start("mlflow", [*command, "--app-name", "basic-auth"], folder / "logs", environment=environment)
    try:
        wait_until(lambda: _answers(server), child, seconds=CEILING_SECONDS)
        yield server
    finally:
        child.stop(10)


def _answers(server: Mlflow) -> bool:
    try:
        return httpx.get(f"{server.url}/health", timeout=5, verify=False).is_success  # noqa: S501
    except httpx.TransportError:
        return False
