"""`python -m tests.support.wrong_clock_worker`: a worker whose clock is wrong by `WRONG_HOURS` hours."""

import os
import runpy
from datetime import UTC, datetime, timedelta

import time_machine

if __name__ == "__main__":
    time_machine.travel(datetime.now(UTC) + timedelta(hours=float(os.environ["WRONG_HOURS"]))).start()
    runpy.run_module("worker", run_name="__main__")
