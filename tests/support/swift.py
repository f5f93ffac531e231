"""A real S3 server: OpenStack Swift with its S3 API, on loopback, with its data in a folder.

It lives in an environment of its own, `.venv-swift`, which `make test` makes.
"""

import getpass
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import httpx
from botocore.config import Config

from service.embedded.processes import Child, free_port, wait_until

PROGRAMS = Path(__file__).parents[2] / ".venv-swift" / "bin"
STORES = ("account", "container", "object")
ACCESS_KEY = "test:tester"
PIPELINE = "catch_errors gatekeeper cache bulk s3api tempauth slo proxy-server"
MAKE_RINGS = """
import sys
from swift.common.ring import RingBuilder
for argument in sys.argv[2:]:
    name, port = argument.split("=")
    builder = RingBuilder(2, 1, 0)
    builder.add_dev(dict(region=1, zone=1, ip="127.0.0.1", port=int(port), device="disk", weight=1))
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""


@dataclass(frozen=True)
class S3:
    """Where the server is, and who may use it."""

    endpoint: str
    secret: str

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """The variables by which S3 tools find it, at another address if one is given."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def client(self) -> Any:
        """Return AWS's own client, with which tests look at the server."""
        return _client(self.endpoint, self.secret)

    def new_bucket(self) -> str:
        name = f"bucket-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def open_uploads(self, bucket: str) -> list[str]:
        return [upload["Key"] for upload in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


@cache
def _client(endpoint: str, secret: str) -> Any:
    """Made once: botocore reads megabytes of JSON for each."""
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )


@contextmanager
def running(folder: Path) -> Iterator[S3]:
    """A server with no buckets; its four processes are gone afterwards."""
    assert PROGRAMS.is_dir(), "the tests' S3 server is not installed: run `make test`, which makes .venv-swift"
    _check_attributes(folder)
    secret, ports = secrets.token_urlsafe(24), {name: free_port() for name in (*STORES, "proxy")}
    _configure(folder, ports, secret)
    children = [_start(name, folder) for name in ports]
    try:
        endpoint = f"http://127.0.0.1:{ports['proxy']}"
        for child, port in zip(children, ports.values(), strict=True):
            wait_until(lambda port=port: _listens(port), child, seconds=60)  # type: ignore[misc]
        yield S3(endpoint, secret)
    finally:
        for child in children:
            child.process.terminate()
        for child in children:
            child.stop(10)


def _start(name: str, folder: Path) -> Child:
    return Child.start(f"swift-{name}", [str(PROGRAMS / f"swift-{name}-server"), str(folder / f"{name}.conf")], folder / "logs")


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=5, verify=False)  # noqa: S501
    except httpx.TransportError:
        return False
    return True


def _check_attributes(folder: Path) -> None:
    """Swift keeps what it knows of an object in extended attributes."""
    try:
        os.setxattr(folder, "user.swift", b"x")
    except OSError as error:
        raise AssertionError(f"{folder} has no extended attributes, which Swift needs; set TMPDIR to a disk that has") from error


def _configure(folder: Path, ports: dict[str, int], secret: str) -> None:
    (folder / "disks" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n")
    rings = [f"{name}={ports[name]}" for name in STORES]
    subprocess.run([PROGRAMS / "python", "-c", MAKE_RINGS, folder, *rings], check=True)
    for name, port in ports.items():
        network = {"bind_ip": "127.0.0.1", "bind_port": port, "user": getpass.getuser(), "workers": 0, "swift_dir": folder}
        disks = {"devices": folder / "disks", "mount_check": "false", "disable_fallocate": "true", "fallocate_reserve": 0}
        own = _proxy(secret) if name == "proxy" else _storage(name, folder)
        (folder / f"{name}.conf").write_text(_ini({"DEFAULT": network | disks} | own))


def _storage(name: str, folder: Path) -> dict[str, dict[str, object]]:
    return {
        "pipeline:main": {"pipeline": f"{name}-server"},
        f"app:{name}-server": {"use": f"egg:swift#{name}", "recon_cache_path": folder},
    }


def _proxy(secret: str) -> dict[str, dict[str, object]]:
    filters: dict[str, dict[str, object]] = {f"filter:{name}": {"use": f"egg:swift#{name}"} for name in PIPELINE.split()[:-1]}
    filters["filter:cache"] = {"use": "egg:swift#memcache", "memcache_servers": "127.0.0.1:1"}  # there is none
    filters["filter:tempauth"]["user_test_tester"] = f"{secret} .admin"
    app = {"use": "egg:swift#proxy", "account_autocreate": "true", "allow_account_management": "true"}
    return {"pipeline:main": {"pipeline": PIPELINE}, "app:proxy-server": {**app}, **filters}


def _ini(sections: dict[str, dict[str, object]]) -> str:
    return "\n".join(
        "\n".join([f"[{section}]", *(f"{name} = {value}" for name, value in values.items()), ""])
        for section, values in sections.items()
    )
