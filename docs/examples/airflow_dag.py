"""Airflow 3: ask for a job, wait for it without holding a worker's slot, and fetch what it made.

The workers need this package (`dsnot`), and DSNOT_URL and DSNOT_API_KEY in their environment, the latter from a secret.
FOLDER is on a volume that later tasks see, too.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

from dsnot import Client
from service.contract import JobState

FOLDER = Path("/opt/airflow/pruned")
JOB: dict[str, Any] = {"model": {"id": "meta-llama/Llama-3.1-8B"}, "recipe": {"preset": "balanced"}}


def ask(params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
    """The id of this run's job: a task that is tried again finds the job that it has asked for, by the run's id.

    Airflow fills both arguments in from the run.
    """
    with Client() as client:
        return client.create_job((params or {})["job"], idempotency_key=f"airflow/prune/{run_id}").id


def has_succeeded(job_id: str) -> bool:
    """Whether the job is done. One that ends otherwise fails the run at once: the service has tried all that can help."""
    with Client() as client:
        job = client.get_job(job_id)
    if job.has_ended and job.state != JobState.SUCCEEDED:
        raise AirflowFailException(f"job {job.id} has {job.state}: {job.error.detail if job.error else 'no reason is given'}")
    return job.has_ended


def fetch(job_id: str) -> str:
    """The folder with the pruned model, every file checked against its SHA-256."""
    with Client() as client:
        client.download(job_id, FOLDER / job_id)
    return str(FOLDER / job_id)


@dag(schedule=None, params={"job": JOB}, default_args={"retries": 3, "retry_delay": timedelta(minutes=1)})
def prune() -> None:
    job_id = task(ask)()
    done = task.sensor(mode="reschedule", poke_interval=60, timeout=timedelta(days=2).total_seconds())(has_succeeded)(job_id)
    done >> task(fetch)(job_id)


prune()
