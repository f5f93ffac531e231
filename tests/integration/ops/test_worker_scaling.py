"""The query by which KEDA scales the Helm chart's workers, on a real database as the workers' role."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import update

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.database.tables.quotas import TenantQuota
from service.jobs.attempts import repository, transitions
from service.settings import Settings
from service.tenants.quotas import operations as quotas
from tests.support.chart import HAS_HELM, of_kind
from tests.support.job_rows import insert_job
from tests.support.restricted_role import restricted_role

pytestmark = pytest.mark.skipif(not HAS_HELM, reason="Helm's SDK has no wheel for this platform")

POD = "dsnot-worker-h200-7d9f8b6c5d-x2x4z:1"


@pytest.fixture
def wanted(settings: Settings) -> Iterator["Demand"]:
    with restricted_role(settings.database_url.get_secret_value()) as url, psycopg.connect(url, autocommit=True) as connection:
        yield Demand(connection)


class Demand:
    """Number of workers that the scaler of each class requests."""

    def __init__(self, connection: "psycopg.Connection[tuple[float]]", values: str = "gpus") -> None:
        triggers = {item["metadata"]["name"]: item["spec"]["triggers"][0] for item in of_kind(values, "ScaledObject")}
        assert all(trigger["metadata"]["targetQueryValue"] == "1" for trigger in triggers.values())
        self._queries = {name.removeprefix("dsnot-worker-"): each["metadata"]["query"] for name, each in triggers.items()}
        self._connection = connection

    def __call__(self) -> dict[str, float]:
        rows = {name: self._connection.execute(query).fetchone() for name, query in self._queries.items()}
        return {name: row[0] for name, row in rows.items() if row}


def claim(database: Database, worker: str, device: DeviceClass = DeviceClass.GPU) -> repository.Claim:
    with database.begin() as session:
        claimed = repository.claim_next(session, worker=worker, device=device, lease_seconds=60)
    assert claimed is not None
    return claimed


def needing(database: Database, device: str, **least: int) -> None:
    job_id = insert_job(database, device=device)
    with database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(least))


def test_without_jobs_no_worker_is_needed(wanted: Demand) -> None:
    assert wanted() == {"h200": 0, "mig": 0}


def test_queued_jobs_count_in_the_classes_that_serve_their_device(wanted: Demand, database: Database) -> None:
    for device in ("any", "gpu", "cpu", "gpu"):
        insert_job(database, device=device)
    assert wanted() == {"h200": 3, "mig": 2}, "`mig` has devices: [gpu]"


def test_a_running_job_counts_in_the_class_of_its_worker_until_it_ends(wanted: Demand, database: Database) -> None:
    job = insert_job(database, device="gpu")
    claimed = claim(database, POD)
    assert wanted() == {"h200": 1, "mig": 0}
    with database.begin() as session:
        transitions.release(session, job, claimed.fence)
    assert wanted() == {"h200": 1, "mig": 1}, "released, it is queued again"


def test_jobs_of_other_deployments_and_of_classes_with_similar_names_do_not_count(wanted: Demand, database: Database) -> None:
    for worker in ("dsnot-worker-h200-x-7d9f8b6c5d-x2x4z:1", "other-worker-h200-7d9f8b6c5d-x2x4z:1", "gpu-7:4711"):
        insert_job(database, device="gpu")
        claim(database, worker)
    assert wanted() == {"h200": 0, "mig": 0}


def test_jobs_that_need_more_memory_than_a_class_has_request_none_of_its_workers(wanted: Demand, database: Database) -> None:
    for host, gpu in ((64, 18), (64, 19), (65, 18), (257, 1)):
        needing(database, "gpu", least_host_bytes=host << 30, least_device_bytes=gpu << 30)
    insert_job(database, device="gpu")
    assert wanted() == {"h200": 4, "mig": 2}, "256Gi with GPUs of unknown memory, and 64Gi with 18Gi"


def test_a_class_of_cpus_counts_by_the_memory_of_jobs_on_cpus(settings: Settings, database: Database) -> None:
    for size in (128 << 30, (128 << 30) + 1):
        needing(database, "cpu", least_cpu_bytes=size, least_host_bytes=1 << 50, least_device_bytes=1 << 50)
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        assert Demand(connection, "everything")()["cpu"] == 1


def test_queued_jobs_above_the_limit_of_running_jobs_request_no_worker(wanted: Demand, database: Database) -> None:
    quotas.set_limits(database, "limited", {"max_running_jobs": 3})
    for tenant, count in (("limited", 5), ("free", 2)):
        for _ in range(count):
            insert_job(database, tenant=tenant, device="gpu")
    assert wanted() == {"h200": 5, "mig": 5}
    for _ in range(4):
        claim(database, POD)
    assert wanted() == {"h200": 5, "mig": 1}, "four run, one more of those that wait may"
    with database.begin() as session:
        session.execute(update(TenantQuota).values(max_running_jobs=1))
    assert wanted() == {"h200": 4, "mig": 0}
