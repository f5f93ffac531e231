"""The files of the deployment: valid, pinned, hardened, and in step with what the code reads."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
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


def pins(*files: str) -> set[str]:
    return {pin for file in files for pin in re.findall(r"^[a-z0-9-]+==[^ \n]+", (ROOT / file).read_text(), re.M)}


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
    of_migrate = {"WORKER_DATABASE_URL", "WORKER_STORE_PRINCIPAL"}
    assert made <= {name.upper() for name in Settings.model_fields} | of_migrate


def test_workers_have_neither_the_owner_of_the_database_nor_the_secret_key() -> None:
    workers = [service["environment"] for name, service in services().items() if name.startswith("worker")]
    assert len(workers) == 2
    assert all("dsnot_worker:" in each["DSNOT_DATABASE_URL"] and "${POSTGRES_PASSWORD" not in str(each) for each in workers)
    assert all("DSNOT_SECRET_KEY" not in each for each in workers)


def test_placeholder_secrets_of_the_example_are_refused() -> None:
    secrets = {name for name, value in examples().items() if value and ("PASSWORD" in name or "SECRET" in name)}
    assert len(secrets) == 6
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


def test_workers_are_a_user_of_the_store_that_the_bucket_policy_limits(tmp_path: Path) -> None:
    every = services()
    root = every["s3"]["environment"]
    (user,) = {
        (each["AWS_ACCESS_KEY_ID"], each["AWS_SECRET_ACCESS_KEY"])
        for each in (every["worker"]["environment"], every["worker-gpu"]["environment"])
    }
    assert every["migrate"]["environment"]["DSNOT_WORKER_STORE_PRINCIPAL"] == user[0]
    assert root["ROOT_SECRET_ACCESS_KEY"] not in (
        *every["worker"]["environment"].values(),
        *every["worker-gpu"]["environment"].values(),
    )
    assert (root["VGW_IAM_DIR"], every["s3"]["volumes"][1]) == ("/users", "s3-users:/users")
    shell, option, script = every["s3-setup"]["entrypoint"]
    script = re.sub("(?<= )/", f"{tmp_path}/", script.replace("$$", "$"))
    (tmp_path / "users").mkdir()
    subprocess.run([shell, option, script], env=every["s3-setup"]["environment"] | {"PATH": "/usr/bin:/bin"}, check=True)
    assert (tmp_path / "data" / "artifacts").is_dir()
    (account,) = json.loads((tmp_path / "users" / "users.json").read_text())["accessAccounts"].values()
    assert (account["access"], account["secret"], account["role"]) == (*user, "user")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_our_images_do_not_run_as_root(file: Path) -> None:
    assert "USER 10001:10001" in file.read_text()
    assert "HEALTHCHECK" in file.read_text()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_images_install_packages_by_hash_unless_another_torch_is_named(file: Path) -> None:
    installs = [each.strip() for each in re.findall(r"pip install --no-cache-dir ([^\\\n]+)", file.read_text())]
    others = [each for each in installs if not each.startswith(("--require-hashes ", "--no-deps --no-build-isolation ."))]
    torch = (
        ['"$@"']
        if 'if [ -z "${TORCH}" ]; then set -- --require-hashes --no-deps --requirement torch.lock;' in file.read_text()
        else []
    )
    assert others == torch


@pytest.mark.parametrize("file", sorted((ROOT / "docker").glob("*.lock")), ids=lambda file: file.name)
def test_the_locks_of_images_pin_the_same_versions_each_with_hashes(file: Path) -> None:
    entries = re.findall(r"^[a-z].*(?:\n .*)*", file.read_text(), re.M)
    assert all("==" in entry.splitlines()[0] and "--hash=sha256:" in entry for entry in entries)
    more = {pin.partition("==")[0] for pin in pins(f"docker/{file.name}") - pins("requirements.lock")}
    allowed = {"torch.lock": "cuda-|nvidia-|triton", "compiler.lock": "ziglang"}.get(file.name, "$")
    assert all(re.match(allowed, name) for name in more), more


@pytest.mark.parametrize(
    ("package", "locks", "optional"),
    [
        ("service", ["service"], {"cryptography", "model-signing", "pandas", "psutil"}),  # optional
        ("worker", ["worker", "torch"], {"fastapi", "dsnot-runtime"}),  # traced in the service only; from this tree
    ],
)
def test_an_image_has_the_packages_that_its_code_imports(package: str, locks: list[str], optional: set[str]) -> None:
    graph = grimp.build_graph("service", "worker", include_external_packages=True, cache_dir=None)
    waiting = [module for module in graph.modules if module.partition(".")[0] == package]
    reached: set[str] = set()
    while waiting:
        if (module := waiting.pop()) not in reached:
            reached.add(module)
            waiting += graph.find_modules_directly_imported_by(module)
    outside = {module for module in reached if "." not in module} - {"service", "worker", "dsnot"} - sys.stdlib_module_names
    installed = {pin.partition("==")[0] for pin in pins(*(f"docker/{lock}.lock" for lock in locks))} | optional
    projects = packages_distributions()
    assert {
        module for module in outside if not {re.sub("[-_.]+", "-", name).lower() for name in projects[module]} & installed
    } == set()


def test_a_worker_has_time_to_release_its_job() -> None:
    grace = {name: service.get("stop_grace_period") for name, service in services().items() if name.startswith("worker")}
    assert set(grace.values()) == {"30s"}
