"""The pods of the Helm chart as processes on real servers: from the migration to the first artifact."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from service.embedded.processes import free_port
from service.settings import Settings
from tests.support import fork_server
from tests.support.api_server import client, wait_for
from tests.support.chart import HAS_HELM, ROOT, ask_helm, manifest, merged, templates, values_of
from tests.support.job_rows import SPEC
from tests.support.restricted_role import restricted_role
from tests.support.swift import ACCESS_KEY, S3
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually

pytestmark = pytest.mark.skipif(not HAS_HELM, reason="Helm's SDK has no wheel for this platform")


@dataclass(frozen=True)
class Cluster:
    """One machine in place of a cluster: mounts are folders, and every pod has a metrics port of its own."""

    items: list[dict[str, Any]]
    secret: Mapping[str, str]
    folder: Path

    def container(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = templates(self.items)[name]["spec"]["containers"][0]
        return found

    def environment(self, name: str, metrics_port: int = 0) -> dict[str, str]:
        """Return the variables of a pod and of its image, with folders and ports of this machine."""
        values = {variable: value for variable, value in os.environ.items() if not variable.startswith(("DSNOT_", "AWS_"))}
        for each in self.container(name)["env"]:
            values[each["name"]] = each.get("value") or self.secret[each["valueFrom"]["secretKeyRef"]["key"]]
        folders = {each: str(self.folder / values[each].strip("/")) for each in ("DSNOT_MODEL_ROOT", "DSNOT_CACHE_DIR")}
        own = {"DSNOT_METRICS_PORT": str(metrics_port or free_port()), "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]}
        return values | folders | own | {"DSNOT_ALIVE_FILE": str(self.folder / name)}

    @contextmanager
    def running(self, name: str, *arguments: str, metrics_port: int = 0) -> Iterator[None]:
        """Run a pod until the end of the body."""
        with (self.folder / f"{name}.log").open("wb") as output:
            process = fork_server.start(arguments, self.environment(name, metrics_port), output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(CEILING_SECONDS)

    def is_alive(self, name: str) -> bool:
        """Return whether the liveness probe succeeds."""
        probe = self.container(name)["livenessProbe"]["exec"]["command"]
        return fork_server.run(probe[2:], self.environment(name)).returncode == 0

    def workers_wanted(self) -> float:
        """Return what KEDA's query finds."""
        (scaled,) = [each for each in self.items if each["kind"] == "ScaledObject"]
        with psycopg.connect(self.secret["worker-database-url"]) as connection:
            row = connection.execute(scaled["spec"]["triggers"][0]["metadata"]["query"]).fetchone()
        assert row is not None
        return float(row[0])


@pytest.fixture
def cluster(settings: Settings, s3: S3, bucket: str, tmp_path: Path) -> Iterator[Cluster]:
    values = {
        "store": {"url": f"s3://{bucket}", "endpoint": s3.endpoint, "region": "us-east-1"},
        "keda": {"enabled": True, "database": {"host": "postgres"}},
        "settings": {"DSNOT_HUB_FROM_SERVICE": "false"},
    }
    (answer,) = ask_helm(merged(values_of("default"), values))["renderings"]
    owner = settings.database_url.get_secret_value()
    with restricted_role(owner) as worker_url:
        secret = {
            "database-url": owner,
            "worker-database-url": worker_url,
            "broker-url": settings.broker_url.get_secret_value(),
            "secret-key": "0123456789abcdef0123456789abcdef",
            **dict.fromkeys(("store-access-key-id", "worker-store-access-key-id"), ACCESS_KEY),
            **dict.fromkeys(("store-secret-access-key", "worker-store-secret-access-key"), s3.secret),
        }
        yield Cluster(list(yaml.safe_load_all(manifest(answer["files"]))), secret, tmp_path)


def command_of(image: str) -> list[str]:
    """Return the arguments of Python in the image's command."""
    (command,) = re.findall(r"^CMD (.*)$", (ROOT / "docker" / f"{image}.Dockerfile").read_text(), re.MULTILINE)
    python, module, *arguments = json.loads(command)
    assert (python, module) == ("python", "-m")
    return [str(each) for each in arguments]


def test_the_pods_bring_a_queued_job_to_its_artifact(cluster: Cluster, s3: S3, bucket: str) -> None:
    save_model(cluster.folder / "models" / "tiny")
    migrated = fork_server.run(
        ["service.cli", *cluster.container("dsnot-migrate")["args"][1:]], cluster.environment("dsnot-migrate")
    )
    assert migrated.returncode == 0, migrated.stderr
    port, metrics = str(free_port()), free_port()
    service = [{"8321": port, "0.0.0.0": "127.0.0.1"}.get(each, each) for each in command_of("service")]  # noqa: S104
    with ExitStack() as pods:
        pods.enter_context(cluster.running("dsnot-service", *service))
        pods.enter_context(
            cluster.running("dsnot-dispatcher", *cluster.container("dsnot-dispatcher")["args"][2:], metrics_port=metrics)
        )
        create = ["service.cli", "keys", "create", "--name", "me", "--scope", "admin", "--json"]
        key = json.loads(fork_server.run(create, cluster.environment("dsnot-service")).stdout)["key"]
        api = pods.enter_context(client(f"http://127.0.0.1:{port}", key))
        wait_for(api)
        probes = cluster.container("dsnot-service")
        eventually(lambda: api.get(probes["readinessProbe"]["httpGet"]["path"]).is_success)
        assert cluster.workers_wanted() == 0
        job = api.post("/v1/jobs", json=SPEC).raise_for_status().json()["id"]
        assert cluster.workers_wanted() == 1
        pods.enter_context(cluster.running("dsnot-worker-cpu", *command_of("worker")))
        eventually(lambda: api.get(f"/v1/jobs/{job}").json()["state"] == "succeeded")
        assert cluster.workers_wanted() == 0
        assert cluster.is_alive("dsnot-dispatcher")
        assert cluster.is_alive("dsnot-worker-cpu")
        assert "dsnot_messages_sent_total 1.0" in httpx.get(f"http://127.0.0.1:{metrics}/metrics").text
    assert any(name.endswith("manifest.json") for name in s3.keys(bucket))
