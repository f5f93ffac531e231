"""Checks of the database, the broker and the artifact store."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import obstore
import redis
from obstore.exceptions import PermissionDeniedError
from sqlalchemy.exc import SQLAlchemyError

from service.contract.devices import QUEUES
from service.database import schema
from service.database.engine import Database
from service.ops import installation
from service.ops.doctor import repository
from service.ops.doctor.findings import Check, Finding, fail, ok, warn
from service.settings import Settings
from service.storage.artifact_store import ArtifactStore, StoreRefused
from service.storage.open_uploads import OpenUploads, UploadsRefused
from service.storage.opening import open_at

_SKEW_SECONDS: Final = 5.0


def checks(settings: Settings, database: Database, *, is_embedded: bool) -> list[Check]:
    """Return the checks of the servers, dependencies first.

    The broker of `dsnot up` persists nothing: the dispatcher sends messages again from the database.
    """
    return [
        Check("database", lambda: _database(database), "start PostgreSQL, or correct DSNOT_DATABASE_URL"),
        Check("schema", lambda: _schema(settings), "run `dsnot migrate`"),
        Check("clock", lambda: _clock(database), "see the check of the database"),
        Check("broker", lambda: _broker(settings, may_lose=is_embedded), "start Valkey or Redis, or correct DSNOT_BROKER_URL"),
        Check(
            "artifact store",
            lambda: _store(settings),
            "correct DSNOT_ARTIFACT_URL, or the store's credentials and endpoint variables",
        ),
        Check("installation", lambda: _installation(settings, database), "see the checks of database and artifact store"),
    ]


def _database(database: Database) -> Finding:
    with database.begin() as session:
        server, writable = repository.server(session), repository.can_write(session)
    if not writable:
        return fail("database", f"PostgreSQL {server.version} is read-only", "name the primary in DSNOT_DATABASE_URL")
    return ok("database", f"PostgreSQL {server.version}")


def _schema(settings: Settings) -> Finding:
    revisions = schema.revisions(settings.database_address)
    if revisions.problem is not None:
        return fail("schema", revisions.problem, "run `dsnot migrate` with the version that is to run")
    if revisions.current != revisions.expected:
        return warn("schema", f"{revisions.current}, newer than this version's {revisions.expected}", "finish the deployment")
    return ok("schema", str(revisions.current))


def _clock(database: Database) -> Finding:
    """Compare this host's clock with the database's. Leases use the database's clock alone; presigned URLs use the host's."""
    with database.begin() as session:
        now = repository.server(session).now
    seconds = abs((datetime.now(UTC) - now).total_seconds())
    if seconds > _SKEW_SECONDS:
        return warn(
            "clock", f"differs from the database's by {seconds:.0f} s", "synchronise this host's clock; presigned downloads fail"
        )
    return ok("clock", f"differs from the database's by {seconds:.1f} s")


def _broker(settings: Settings, *, may_lose: bool) -> Finding:
    client = redis.Redis.from_url(settings.broker_url.get_secret_value(), socket_connect_timeout=3, socket_timeout=3)
    info: dict[str, Any] = client.info()
    policy = info.get("maxmemory_policy", "noeviction")
    server = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"
    found = f"{server}, {_queued(client, settings)}"
    if policy != "noeviction":
        remedy = "set maxmemory-policy noeviction: evicted messages delay jobs until they are sent again"
        return fail("broker", f"{found}, maxmemory-policy {policy}", remedy)
    if not info.get("aof_enabled") and not may_lose:
        return warn(
            "broker",
            f"{found}, not append-only",
            "set appendonly yes: messages lost in a restart delay jobs until they are sent again",
        )
    return ok("broker", found)


def _queued(client: redis.Redis, settings: Settings) -> str:
    try:
        prefix = installation.broker_prefix(settings)
    except SQLAlchemyError:
        return "messages not counted"  # the database's own check has the reason
    return f"{sum(int(client.llen(prefix + queue)) for queue in QUEUES.values())} messages queued"


def _store(settings: Settings) -> Finding:
    """Write, read and remove an object, presign a URL if the store is remote, and list open multipart uploads."""
    key, content = f"doctor/{uuid4()}", b"dsnot doctor"
    store = open_at(settings.artifact_url)
    obstore.put(store, key, content)
    is_same = bytes(obstore.get(store, key).bytes()) == content
    remedies = []
    try:
        obstore.delete(store, key)
    except PermissionDeniedError:
        remedies.append(StoreRefused.REMEDY)
    if not is_same:
        return fail("artifact store", "a read returned other bytes than were written", "use another store in DSNOT_ARTIFACT_URL")
    try:
        next(OpenUploads(store).below("doctor"), None)
    except UploadsRefused:
        remedies.append(UploadsRefused.REMEDY)
    place = settings.artifact_url.partition(":")[0]
    if place != "file":
        ArtifactStore(settings.artifact_url, settings.artifact_public_endpoint).sign("GET", key, 60)
    if remedies:
        return warn("artifact store", f"{place}: leftovers stay, because rights are missing", "; ".join(remedies))
    return ok("artifact store", f"{place}: written, read, removed{', signed' if place != 'file' else ''}")


def _installation(settings: Settings, database: Database) -> Finding:
    """Compare the ids of database and store: a dispatcher deletes nothing from the store of another database."""
    store = ArtifactStore(settings.artifact_url)
    if installation.in_store(store) is None:
        return ok("installation", "the artifact store has no id yet; a dispatcher writes it")
    if found := installation.mismatch(database, store):
        return fail("installation", f"{found}; nothing is deleted from the store", installation.REMEDY)
    return ok("installation", "the artifact store belongs to this database")
