"""Airflow 3 DAG: create a job, wait for it without occupying a worker slot, and download the artifact.

The workers need this package (`dsnot`), and DSNOT_URL and DSNOT_API_KEY in their environment, the latter from a secret.
FOLDER is on a volume shared with later tasks.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

from dsnot import Client
from service.contract.states import JobState

FOLDER = Path("/opt/airflow/pruned")
JOB: dict[str, Any] = {"model": {"id": "meta-llama/Llama-3.1-8B"}, "recipe": {"preset": "balanced"}}


def ask(params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
    """Create this run's job and return its id; a retried task gets the same job, because the idempotency key is the run's id.

    Airflow passes both arguments from the run.
    """
    with Client() as client:
        return client.jobs.create((params or {})["job"], idempotency_key=f"airflow/prune/{run_id}").id


def has_succeeded(job_id: str) -> bool:
    """Return whether the job has succeeded. Any other end fails the run at once, because the service has retried already."""
    with Client() as client:
        job = client.jobs.get(job_id)
    if job.has_ended and job.state != JobState.SUCCEEDED:
        raise AirflowFailException(f"job {job.id} has {job.state}: {job.error.detail if job.error else 'no reason is given'}")
    return job.has_ended


def fetch(job_id: str) -> str:
    """Download the pruned model, verified by SHA-256, and return its folder."""
    with Client() as client:
        client.jobs.download(job_id, FOLDER / job_id)
    return str(FOLDER / job_id)


@dag(schedule=None, params={"job": JOB}, default_args={"retries": 3, "retry_delay": timedelta(minutes=1)})
def prune() -> None:
    """Prune a model as a pipeline of three tasks."""
    job_id = task(ask)()
    done = task.sensor(mode="reschedule", poke_interval=60, timeout=timedelta(days=2).total_seconds())(has_succeeded)(job_id)
    done >> task(fetch)(job_id)


prune()
