"""`dsnot down` and `dsnot status`: the embedded stack of this home."""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.cli.output import AsJson, CommandFailed, duration, note, print_fields, print_json, print_table
from service.cli.up import Home

if TYPE_CHECKING:
    from service.embedded.record import StackRecord

_STOP_SECONDS: Final = 180.0
"""Longest time that `dsnot down` waits; each kind of process has its own limit within it."""


def down(home: Home = None) -> None:
    """Stop the stack of this home, whether it is detached or in another terminal. Its data stay.

    Running jobs are given back to the queue and continue with the next `dsnot up`. Exit status: 0 stopped, or none was running.
    """
    from service.client.discovery import this_home
    from service.embedded.lock import in_use, owner_of

    place = (home or this_home()).expanduser().absolute()
    owner = owner_of(place)
    if owner is None and not in_use(place):
        note(f"no stack is running on {place}")
        return
    if owner is None:
        raise CommandFailed(
            f"remaining processes of a killed stack still use {place}; they end by themselves, or with `dsnot up`"
        )
    note("stopping; the worker gives its job back first")
    os.kill(owner, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while in_use(place):
        if time.monotonic() > deadline:
            raise CommandFailed(f"process {owner} has not stopped after {_STOP_SECONDS:.0f} s; see {place / 'logs'}")
        time.sleep(0.1)
    note(f"stopped; its data stay in {place}")


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show the stack of this home: address, processes, versions, queue. Exit status: 0 it is ready, 1 it is not, or none runs."""
    from service.client.discovery import running_stack, this_home

    place = (home or this_home()).expanduser().absolute()
    found = _examined(place, running_stack(place))
    if as_json:
        print_json(found)
    else:
        queue = found["queue"] or {}
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        counts = ", ".join(f"{count} {name}" for name, count in queue.items())
        print_fields([("address", found["url"]), ("home", found["home"]), ("versions", versions), ("jobs", counts)])
        rows = [
            (name, str(each["pid"]), "running" if each["is_alive"] else "dead", duration(each["seconds"]))
            for name, each in found["processes"].items()
        ]
        print_table(("process", "pid>", "state", "for>"), rows)
    if not found["is_ready"]:
        raise CommandFailed(f"the stack is not ready; see `dsnot logs` and {place / 'logs'}")


def _examined(home: Path, record: "StackRecord") -> dict[str, Any]:
    from importlib.metadata import version

    import httpx

    from service.client import Client, ClientError
    from service.embedded.record import API_KEY_FILE

    processes = {name: _process(pid) for name, pid in record.processes.items()}
    queue = None
    try:
        is_ready = httpx.get(f"{record.url}/readyz", timeout=5).is_success
        with Client(record.url, (home / API_KEY_FILE).read_text().strip(), patience=2) as client:
            queued = client.quota().queued_jobs.used
            queue = {"queued": queued, "running": sum(each.job_id is not None for each in client.workers())}
    except (httpx.TransportError, ClientError, OSError):
        is_ready = False
    return {
        "url": record.url,
        "home": str(home),
        "is_ready": is_ready and all(each["is_alive"] for each in processes.values()),
        "versions": {"dsnot": version("dsnot"), **_server_versions(record)},
        "queue": queue,
        "processes": processes,
    }


def _process(pid: int) -> dict[str, Any]:
    import psutil

    try:
        process = psutil.Process(pid)
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return {"pid": pid, "is_alive": is_alive, "seconds": round(time.time() - process.create_time(), 1)}
    except psutil.Error:
        return {"pid": pid, "is_alive": False, "seconds": None}


def _server_versions(record: "StackRecord") -> dict[str, str]:
    import psycopg
    import redis

    found = {}
    try:
        with psycopg.connect(record.database_url, connect_timeout=2) as connection:
            found["PostgreSQL"] = str(connection.info.parameter_status("server_version"))
    except psycopg.Error:
        pass
    client = redis.Redis.from_url(record.broker_url, socket_connect_timeout=2, socket_timeout=2)
    try:
        found["Valkey"] = str(client.info("server").get("valkey_version"))
    except redis.RedisError:
        pass
    finally:
        client.close()
    return found
