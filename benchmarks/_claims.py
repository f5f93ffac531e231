"""Claims for `benchmarks.service`: the cost of claiming the best job of a long queue."""

import time
from concurrent.futures import ThreadPoolExecutor

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.jobs.attempts.repository import claim_next


def claims(database: Database, count: int, threads: int) -> tuple[list[float], float]:
    """Claim `count` jobs from `threads` threads in parallel; return the seconds of each claim, and of all together."""
    shares = [count // threads + (number < count % threads) for number in range(threads)]
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda share: [_claim(database) for _ in range(share)], shares))
    return [seconds for part in parts for seconds in part], time.perf_counter() - began


def _claim(database: Database) -> float:
    began = time.perf_counter()
    with database.begin() as session:
        claim = claim_next(session, worker="benchmark", device=DeviceClass.CPU, lease_seconds=600)
    assert claim is not None
    return time.perf_counter() - began
