"""Calls for jobs: create, read, follow and change them."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic
from uuid import uuid4

import httpx

from service.client.answers import Attempt, Job, Layer, Plan
from service.client.asking import ask, asking, listing
from service.client.call import Call, Page, Repeat, as_list, as_one, as_page, nothing, path_to, said
from service.client.comparing import compare_jobs
from service.client.download import download, download_file
from service.client.events import Event, event_of, follow
from service.client.flow import Flow, Pause, Terms
from service.client.measured import Metrics
from service.client.methods import Calls, Driver, Iteration, Method
from service.contract.artifacts import Manifest
from service.contract.spec import JobSpec
from service.contract.states import JobState

_WAIT_SECONDS: Final = 30.0
_LEAST_SECONDS: Final = 1.0
"""Minimum interval between polls of a job, if the service did not wait."""
_ANSWER_SECONDS: Final = 30.0
"""Seconds that a response may take beyond the requested wait."""

Spec = JobSpec | Mapping[str, Any]


def create_job(spec: Spec, *, idempotency_key: str | None = None) -> Call[Job]:
    """Create a job; all fields but `model` have defaults. Retries after lost responses create no second one.

    `idempotency_key`: the caller's own, such as a pipeline's run id: several calls within a day create one job.
    """
    headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
    return Call("POST", path_to("jobs"), _job_in, body=_body(spec), headers=headers)


def plan(spec: Spec) -> Call[Plan]:
    """Return a dry run of a job: its model, resources, queue position, and warnings. Nothing is stored."""
    return Call("POST", path_to("jobs"), as_one(Plan.model_validate), query={"validate_only": "true"}, body=_body(spec))


def get_job(job_id: str) -> Call[Job]:
    """Return one job."""
    return Call("GET", path_to("jobs", job_id), _job_in)


def list_jobs(
    *,
    state: JobState | str | Sequence[str] | None = None,
    model: str | None = None,
    labels: Mapping[str, str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    search: str | None = None,
    sort: str | None = None,
) -> Call[Page[Job]]:
    """List jobs, newest first by default; pages are fetched as needed.

    `search`: a part of the model's name or of a label (`name=value`), or the start of the id, ignoring case. `sort`:
    `created_at`, `finished_at`, `model`, `state` or `priority`; prefix with - for descending; ties are newest first.
    """
    times = {"created_after": created_after, "created_before": created_before}
    query = {name: moment.astimezone().isoformat() for name, moment in times.items() if moment is not None}
    named = {f"label.{name}": value for name, value in (labels or {}).items()}
    return Call(
        "GET",
        path_to("jobs"),
        as_page(Job.model_validate),
        query={**said(state=state or None, model=model or None, q=search or None, sort=sort or None), **named, **query},
    )


def cancel_job(job_id: str, *, if_match: str | None = None) -> Call[Job]:
    """Cancel the job. `if_match`: only if the job still has this `etag`; the same holds for the other changes."""
    return _change(job_id, "cancel", if_match)


def pause_job(job_id: str, *, if_match: str | None = None) -> Call[Job]:
    """Pause the job; its finished blocks are kept."""
    return _change(job_id, "pause", if_match)


def resume_job(job_id: str, *, if_match: str | None = None) -> Call[Job]:
    """Queue a paused job again; it resumes after its last finished block."""
    return _change(job_id, "resume", if_match)


def retry_job(job_id: str, *, if_match: str | None = None) -> Call[Job]:
    """Create a job that repeats this one, which must have ended without success."""
    return _change(job_id, "retry", if_match)


def delete_job(job_id: str, *, if_match: str | None = None) -> Call[None]:
    """Delete a job that has ended, and its artifact."""
    return Call("DELETE", path_to("jobs", job_id), nothing, headers=_only(if_match), repeat=Repeat.UNDONE)


def list_events(job_id: str, *, after: int = 0) -> Call[Page[Event]]:
    """List the events above number `after` that have happened so far."""
    return Call("GET", path_to("jobs", job_id, "events"), as_page(event_of), query={"after": after})


def attempts(job_id: str) -> Call[list[Attempt]]:
    """List the attempts at the job: worker, times, and outcome."""
    return Call("GET", path_to("jobs", job_id, "attempts"), as_list(Attempt.model_validate))


def layers(job_id: str) -> Call[Page[Layer]]:
    """List the pruning result of each matrix, in the order of the model."""
    return Call("GET", path_to("jobs", job_id, "layers"), as_page(Layer.model_validate))


def metrics(job_id: str) -> Call[Metrics]:
    """Return the measurements so far: dense and pruned quality, sizes, timings, peak memory."""
    return Call("GET", path_to("jobs", job_id, "metrics"), as_one(Metrics.model_validate))


def manifest(job_id: str) -> Call[Manifest]:
    """Return the manifest of the job's artifact."""
    return Call("GET", path_to("jobs", job_id, "artifacts"), as_one(Manifest.model_validate))


def wait(terms: Terms, job_id: str, timeout: float | None = None) -> Flow[Job]:
    """Wait until the job has ended, and return it.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; the job continues.
    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        left = max(0.0, end - time.monotonic())
        began = time.monotonic()
        job = yield from ask(terms, _job_within(job_id, math.ceil(min(left, _WAIT_SECONDS))))
        if job.has_ended:
            return job
        if time.monotonic() >= end:
            raise TimeoutError(f"job {job_id} is still {job.state} after {timeout:.0f} s")
        yield Pause(max(0.0, min(_LEAST_SECONDS, left) - (time.monotonic() - began)))  # a busy service may answer without waiting


class JobCalls(Calls[Driver], Generic[Driver]):
    """Jobs and their results."""

    create_job = Method(asking(create_job))
    plan = Method(asking(plan))
    get_job = Method(asking(get_job))
    list_jobs = Iteration(listing(list_jobs))
    cancel_job = Method(asking(cancel_job))
    pause_job = Method(asking(pause_job))
    resume_job = Method(asking(resume_job))
    retry_job = Method(asking(retry_job))
    delete_job = Method(asking(delete_job))
    wait = Method(wait)
    events = Iteration(follow)
    list_events = Iteration(listing(list_events))
    attempts = Method(asking(attempts))
    layers = Iteration(listing(layers))
    metrics = Method(asking(metrics))
    compare_jobs = Method(asking(compare_jobs))
    manifest = Method(asking(manifest))
    download = Method(download)
    download_file = Method(download_file)


def _job_within(job_id: str, seconds: int) -> Call[Job]:
    """Return the call for the job as soon as it has ended, or after `seconds`."""
    headers = {"Prefer": f"wait={seconds}"}
    return Call("GET", path_to("jobs", job_id), _job_in, headers=headers, seconds=seconds + _ANSWER_SECONDS)


def _change(job_id: str, change: str, if_match: str | None) -> Call[Job]:
    return Call("POST", path_to("jobs", job_id, change), _job_in, headers=_only(if_match))


def _only(if_match: str | None) -> dict[str, str]:
    return said(**{"If-Match": if_match})


def _body(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, JobSpec) else dict(spec)


def _job_in(response: httpx.Response) -> Job:
    """Return the job, with its version from the `ETag` header."""
    return Job.model_validate(response.json() | {"etag": response.headers.get("ETag")})
