"""SQL statements of a request and the rows that they scan: bounds that do not depend on the speed of the machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event

from service.database.engine import Database


@dataclass(frozen=True)
class Statement:
    """A statement as it went to the driver."""

    sql: str
    parameters: Any

    def rows_scanned(self, database: Database) -> int:
        """Return how many rows its scans visit, by `EXPLAIN ANALYZE`; 0 if it changes rows."""
        if not self.sql.lstrip().upper().startswith(("SELECT", "WITH")):
            return 0
        with database.engine.connect() as connection:
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {self.sql}"
            (plan,) = connection.exec_driver_sql(explain, self.parameters).scalar_one()
            connection.rollback()
        return round(sum(map(_visited, _nodes(plan["Plan"]))))


@contextmanager
def recorded_statements() -> Iterator[list[Statement]]:
    """Yield a list that grows by every statement that any engine of this process executes."""
    executed: list[Statement] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        executed.append(Statement(sql, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def analyse(database: Database) -> None:
    """Update the planner's statistics; else the plans depend on whether autovacuum has looked since the rows were inserted."""
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")


def assert_bounded_work(request: Callable[[], Any], database: Database, *, statements: int = 20, rows: int = 150_000) -> None:
    """Fail if a request executes or scans more; the bounds are about twice the work of a page with 10,000 rows in each table."""
    with recorded_statements() as executed:
        request()
    scanned = {statement.sql: statement.rows_scanned(database) for statement in list(executed)}
    assert len(executed) <= statements, [statement.sql for statement in executed]
    assert sum(scanned.values()) <= rows, scanned


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _visited(node: dict[str, Any]) -> float:
    if "Scan" not in node["Node Type"]:
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])
