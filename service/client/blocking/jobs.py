# generated from aio/ by `make client`; do not edit
"""Calls for jobs: create, read, compare and change them."""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import httpx

from service.client.answers import Attempt, Job, Layer, Plan
from service.client.blocking.http import Calls
from service.client.comparing import Comparison
from service.client.errors import parsed
from service.client.measured import Metrics
from service.client.patience import Repeat
from service.client.request import drop_none, list_of, path_to
from service.contract.spec import JobSpec
from service.contract.states import JobState

_WAIT_SECONDS: Final = 30.0
_LEAST_SECONDS: Final = 1.0
"""Minimum interval between polls of a job, if the service did not wait."""
_ANSWER_SECONDS: Final = 30.0
"""Seconds that a response may take beyond the requested wait."""

Spec = JobSpec | Mapping[str, Any]


class JobCalls(Calls):
    """Jobs and their results."""

    def create_job(self, spec: Spec, *, idempotency_key: str | None = None) -> Job:
        """Create a job; all fields but `model` have defaults. Retries after lost responses create no second one.

        `idempotency_key`: the caller's own, such as a pipeline's run id: several calls within a day create one job.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return _job_in(self._http.send("POST", path_to("jobs"), body=_body(spec), headers=headers))

    def plan(self, spec: Spec) -> Plan:
        """Return a dry run of a job: its model, resources, queue position, and warnings. Nothing is stored."""
        query = {"validate_only": "true"}
        return self._http.fetch(Plan.model_validate, "POST", path_to("jobs"), query=query, body=_body(spec))

    def get_job(self, job_id: str) -> Job:
        """Return one job."""
        return _job_in(self._http.send("GET", path_to("jobs", job_id)))

    def list_jobs(
        self,
        *,
        state: JobState | str | Sequence[str] | None = None,
        model: str | None = None,
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        search: str | None = None,
        presets: Sequence[str] | None = None,
        sort: str | None = None,
    ) -> Generator[Job]:
        """List jobs, newest first by default; pages are fetched as needed.

        `search`: a part of the job's name, the model's id or a label (`name=value`), or the start of the id, ignoring case.
        `sort`: `created_at`, `finished_at`, `name`, `model`, `state`, `priority`, `sparsity`, `perplexity`, `agreement`, `size`
        or `duration`; prefix with - for descending; jobs without a value come last, ties are newest first.
        """
        times = drop_none(created_after=created_after, created_before=created_before)
        query = {
            **drop_none(state=state or None, model=model or None, q=search or None, sort=sort or None),
            **drop_none(preset=[*presets] if presets else None),
            **{f"label.{name}": value for name, value in (labels or {}).items()},
            **{name: moment.astimezone().isoformat() for name, moment in times.items()},
        }
        return self._http.items(Job.model_validate, path_to("jobs"), query)

    def cancel_job(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Cancel the job. `if_match`: only if the job still has this `etag`; the same holds for the other changes."""
        return self._change(job_id, "cancel", if_match)

    def pause_job(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Pause the job; its finished blocks are kept."""
        return self._change(job_id, "pause", if_match)

    def resume_job(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Queue a paused job again; it resumes after its last finished block."""
        return self._change(job_id, "resume", if_match)

    def retry_job(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Create a job that repeats this one, which must have ended without success."""
        return self._change(job_id, "retry", if_match)

    def _change(self, job_id: str, change: str, if_match: str | None) -> Job:
        return _job_in(self._http.send("POST", path_to("jobs", job_id, change), headers=_only(if_match)))

    def delete_job(self, job_id: str, *, if_match: str | None = None) -> None:
        """Delete a job that has ended, and its artifact."""
        self._http.send("DELETE", path_to("jobs", job_id), headers=_only(if_match), repeat=Repeat.UNDONE)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until the job has ended, and return it.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; the job continues.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            began = time.monotonic()
            job = self._get_job_within(job_id, math.ceil(min(left, _WAIT_SECONDS)))
            if job.has_ended:
                return job
            if time.monotonic() >= end:
                raise TimeoutError(f"job {job_id} is still {job.state} after {timeout:.0f} s")
            pause = min(_LEAST_SECONDS, left) - (time.monotonic() - began)  # a busy service may answer without waiting
            time.sleep(max(0.0, pause))

    def _get_job_within(self, job_id: str, seconds: int) -> Job:
        """Return the job as soon as it has ended, or after `seconds`."""
        headers = {"Prefer": f"wait={seconds}"}
        return _job_in(self._http.send("GET", path_to("jobs", job_id), headers=headers, timeout=seconds + _ANSWER_SECONDS))

    def attempts(self, job_id: str) -> list[Attempt]:
        """List the attempts at the job: worker, times, and outcome."""
        return self._http.fetch(list_of(Attempt.model_validate), "GET", path_to("jobs", job_id, "attempts"))

    def layers(self, job_id: str) -> Generator[Layer]:
        """List the pruning result of each matrix, in the order of the model."""
        return self._http.items(Layer.model_validate, path_to("jobs", job_id, "layers"))

    def metrics(self, job_id: str) -> Metrics:
        """Return the measurements so far: dense and pruned quality, sizes, timings, peak memory."""
        return self._http.fetch(Metrics.model_validate, "GET", path_to("jobs", job_id, "metrics"))

    def compare_jobs(self, job_ids: Sequence[str]) -> Comparison:
        """Compare 2 to 50 jobs: settings that differ, measurements, and which job is best."""
        query = {"ids": list(job_ids)}
        return self._http.fetch(Comparison.model_validate, "GET", path_to("jobs", "compare"), query=query)


def _only(if_match: str | None) -> dict[str, str]:
    return drop_none(**{"If-Match": if_match})


def _body(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, JobSpec) else dict(spec)


def _job_in(response: httpx.Response) -> Job:
    """Return the job, with its version from the `ETag` header."""
    return parsed(response, lambda: Job.model_validate(response.json() | {"etag": response.headers.get("ETag")}))
