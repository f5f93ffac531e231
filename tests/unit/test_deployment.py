"""The files of the deployment: valid, pinned, hardened, and in step with what the code reads."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PLACEHOLDER, Settings
from tests.support.waiting import CEILING_SECONDS

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
BIN = Path(sys.executable).parent


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def examples() -> dict[str, str]:
    lines = (line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def run(*command: str) -> str:
    """What it had to say; empty if all is well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CEILING_SECONDS)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_reports_nothing(file: Path) -> None:
    # DL3006: the base is an argument, with a pinned default
    assert run(str(BIN / "hadolint"), "--ignore", "DL3006", str(file)) == ""


def test_the_compose_file_is_valid() -> None:
    assert run(str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)) == ""


def test_the_example_documents_exactly_the_compose_variables() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE.read_text()))
    assert used == set(examples())


def test_every_setting_of_the_compose_file_exists() -> None:
    made = set(re.findall(r"DSNOT_(\w+):", COMPOSE.read_text()))
    of_migrate = {"WORKER_DATABASE_URL"}
    assert made <= {name.upper() for name in Settings.model_fields} | of_migrate


def test_workers_have_neither_the_owner_of_the_database_nor_the_secret_key() -> None:
    workers = [service["environment"] for name, service in services().items() if name.startswith("worker")]
    assert len(workers) == 2
    assert all("dsnot_worker:" in each["DSNOT_DATABASE_URL"] and "${POSTGRES_PASSWORD" not in str(each) for each in workers)
    assert all("DSNOT_SECRET_KEY" not in each for each in workers)


def test_placeholder_secrets_of_the_example_are_refused() -> None:
    secrets = {name for name in examples() if "PASSWORD" in name or "SECRET" in name}
    assert {examples()[name] for name in secrets} == {PLACEHOLDER}


@pytest.mark.parametrize("name", services())
def test_images_are_pinned_and_containers_hardened(name: str) -> None:
    service = services()[name]
    image, _, tag = service["image"].rpartition(":")
    assert image
    assert re.search(r"\d+\.\d+", tag), "a version, not a moving name"
    assert service["mem_limit"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "only this host, unless told otherwise"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_our_images_do_not_run_as_root(file: Path) -> None:
    assert "USER 10001:10001" in file.read_text()
    assert "HEALTHCHECK" in file.read_text()


def test_a_worker_has_time_to_release_its_job() -> None:
    grace = {name: service.get("stop_grace_period") for name, service in services().items() if name.startswith("worker")}
    assert set(grace.values()) == {"30s"}
