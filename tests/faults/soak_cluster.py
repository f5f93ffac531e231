"""The installation that the soak disturbs: two workers, two dispatchers, the service; database, broker and store behind wires."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import redis

from service.settings import Settings
from tests.support import swift
from tests.support.servers import Api, Postgres, Program, Valkey, through
from tests.support.tcp_proxy import Wire

LEASE_SECONDS = 6.0


class Cluster:
    """Everything runs from the beginning; `faults` names what can be done to it."""

    def __init__(self, folder: Path) -> None:
        for name in ("models", "cache", "logs", "store"):
            (folder / name).mkdir(parents=True)
        self.postgres = Postgres(folder / "database")
        self.valkey = Valkey(folder / "broker")
        self._store = ExitStack()
        self.s3 = self._store.enter_context(swift.running(folder / "store"))
        self.bucket = self.s3.new_bucket()
        self._database_wire, self._broker_wire = _wire(self.postgres.url), _wire(self.valkey.url)
        self._store_wire = _wire(self.s3.endpoint)
        os.environ.update(self.s3.environment(through(self.s3.endpoint, self._store_wire.port)))  # all processes inherit it
        self.settings = Settings.model_validate(
            {
                "database_url": through(self.postgres.url, self._database_wire.port),
                "broker_url": through(self.valkey.url, self._broker_wire.port),
                "artifact_url": f"s3://{self.bucket}/soak",
                "model_root": folder / "models",
                "cache_dir": folder / "cache",
                "device": "cpu",
                "lease_seconds": LEASE_SECONDS,
                "heartbeat_seconds": 1.0,
                "resend_seconds": 5.0,
                "retry_seconds": 0.5,
                "sweep_seconds": 5.0,
                "upload_sweep_seconds": 10.0,
                "store_timeout_seconds": 5.0,
                "store_retry_seconds": 20.0,
                "max_queued_jobs": 100_000,
            }
        )
        logs = folder / "logs"
        self.api = Api(self.settings, logs)
        self.workers = [Program(self.settings, logs / f"worker-{n}.log", "worker") for n in range(2)]
        self.dispatchers = [Program(self.settings, logs / f"dispatcher-{n}.log", "service.dispatcher") for n in range(2)]

    @property
    def faults(self) -> dict[str, Callable[[random.Random], None]]:
        return {
            "a worker's child is killed": self._kill_child,
            "a worker is killed": lambda choices: _again(choices.choice(self.workers)),
            "a worker is stopped with SIGTERM": lambda choices: _again(choices.choice(self.workers), gently=True),
            "a worker is frozen for longer than its lease": self._freeze,
            "a dispatcher is killed": lambda choices: _again(choices.choice(self.dispatchers)),
            "the service is killed": lambda _: _again(self.api),
            "the database restarts": lambda _: self.postgres.restart(),
            "the broker is killed for 5 s": self._kill_broker,
            "the broker is emptied": lambda _: _empty(self.valkey.url),
            "connections to the database break": lambda _: self._database_wire.cut(),
            "connections to the broker break": lambda _: self._broker_wire.cut(),
            "connections to the store break": lambda _: self._store_wire.cut(),
            "the database is silent for 8 s": lambda _: _silence(self._database_wire),
            "the broker is silent for 8 s": lambda _: _silence(self._broker_wire),
            "the store is silent for 8 s": lambda _: _silence(self._store_wire),
        }

    def processes(self) -> list[psutil.Process]:
        """All that descend from this process."""
        return psutil.Process().children(recursive=True)

    def stop(self) -> None:
        for program in (*self.workers, *self.dispatchers, self.api):
            program.stop()
        for wire in (self._database_wire, self._broker_wire, self._store_wire):
            wire.close()
        self._store.close()
        self.valkey.stop()
        self.postgres.stop()

    def _kill_child(self, choices: random.Random) -> None:
        children = [child for worker in self.workers for child in psutil.Process(worker.process.pid).children()]
        running = [child for child in children if "spawn_main" in command_of(child)]
        if running:
            choices.choice(running).kill()

    def _freeze(self, choices: random.Random) -> None:
        parent = psutil.Process(choices.choice(self.workers).process.pid)
        family = [parent, *parent.children(recursive=True)]
        for wish in (signal.SIGSTOP, signal.SIGCONT):
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(wish)
            if wish == signal.SIGSTOP:
                time.sleep(1.5 * LEASE_SECONDS)

    def _kill_broker(self, _choices: random.Random) -> None:
        self.valkey.kill()
        time.sleep(5)
        self.valkey.start()


def command_of(process: psutil.Process) -> str:
    """Empty if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _wire(url: str) -> Wire:
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    return Wire(place.hostname, place.port)


def _again(program: Program, *, gently: bool = False) -> None:
    program.stop() if gently else program.kill()
    program.start()


def _silence(wire: Wire) -> None:
    with wire.silent():
        time.sleep(8)


def _empty(url: str) -> None:
    redis.Redis.from_url(url).flushall()
