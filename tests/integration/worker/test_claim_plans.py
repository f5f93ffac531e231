"""Cost of a claim, in rows that its statements visit: it does not grow with the queue."""

from collections.abc import Collection

from service.contract.devices import DeviceClass
from service.contract.model_spec import cache_key
from service.database.engine import Database
from service.jobs.attempts.next_job import next_job
from service.tenants.quotas import operations as quotas
from tests.support.statements import recorded_statements
from tests.support.tenant_queues import REVISION, add, claim

SHORT, LONG = 100, 10_000


def visited(database: Database, cached: Collection[str]) -> int:
    """The rows that one claim visits. Its update selects the job by the query that is executed here on its own."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE jobs")
    with recorded_statements() as executed:
        assert claim(database, cached=cached) is not None
        with database.begin() as session:
            assert session.execute(next_job("tenant 1", DeviceClass.CPU, cached), {"worker": "w"}).scalar_one()
    return sum(statement.rows_scanned(database) for statement in executed)


def test_a_claim_from_a_long_queue_visits_no_more_rows_than_from_a_short_one(database: Database) -> None:
    for number in range(3):
        quotas.set_limits(database, f"tenant {number}", {"share": 1 + number, "max_running_jobs": 10})
    costs = []
    for count in (SHORT, LONG - SHORT):
        for number in range(3):
            add(database, f"tenant {number}", count, least_cpu_bytes=1)
        costs.append([visited(database, cached) for cached in ((), [cache_key("hub", "warm", REVISION)])])
    (short, short_with_models), (long, long_with_models) = costs
    assert 0 < short < SHORT
    assert long <= short + 10, costs
    assert long_with_models <= short_with_models + 10, costs
