# generated from aio/ by `make client`; do not edit
"""Calls for jobs: create, read, compare and change them."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, Unpack
from uuid import uuid4

import httpx
from pydantic import ConfigDict, PrivateAttr

from service.client.answers import Attempt, Layer, Plan
from service.client.answers import Job as JobAnswer
from service.client.blocking.download import ArtifactCalls
from service.client.blocking.events import EventCalls
from service.client.blocking.http import Listing
from service.client.blocking.logs import LogCalls
from service.client.comparing import Comparison
from service.client.errors import parsed
from service.client.job_options import JobOptions, Spec, body_of
from service.client.job_text import html, one_line
from service.client.measured import Metrics
from service.client.patience import Repeat
from service.client.progress import ProgressLine, ShowProgress
from service.client.request import drop_none, list_of, path_to
from service.contract.artifacts import Manifest
from service.contract.states import JobState

_WAIT_SECONDS: Final = 30.0
_SHOWN_SECONDS: Final = 2.0
"""Interval between polls of a job whose progress is shown."""
_LEAST_SECONDS: Final = 1.0
"""Minimum interval between polls of a job, if the service did not wait."""
_ANSWER_SECONDS: Final = 30.0
"""Seconds that a response may take beyond the requested wait."""


class Job(JobAnswer):
    """Handle of a job: its data as last read, and calls for it. `refresh`, `wait` and changes update it in place."""

    model_config = ConfigDict(frozen=False)
    _calls: "JobCalls" = PrivateAttr()

    def _bound(self, calls: "JobCalls") -> Self:
        self._calls = calls
        return self

    def _take(self, other: "Job") -> Self:
        self.__dict__.update(vars(other))
        self.__pydantic_extra__, self.__pydantic_fields_set__ = other.__pydantic_extra__, other.__pydantic_fields_set__
        return self

    @property
    def url(self) -> str:
        """Address of the job's page on the dashboard."""
        return f"{self._calls.base_url}/jobs/{self.id}"

    def refresh(self) -> Self:
        """Read the job again."""
        return self._take(self._calls.get(self.id))

    def wait(self, timeout: float | None = None, *, progress: ShowProgress = "auto") -> Self:
        """Wait until the job has ended, with a progress line in terminals and notebooks.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; the job continues.
        """
        return self._take(self._calls.wait(self.id, timeout, progress=progress))

    def cancel(self) -> Self:
        """Request cancellation."""
        return self._take(self._calls.cancel(self.id))

    def pause(self) -> Self:
        """Pause the job; its finished blocks are kept."""
        return self._take(self._calls.pause(self.id))

    def resume(self) -> Self:
        """Queue the paused job again."""
        return self._take(self._calls.resume(self.id))

    def retry(self) -> "Job":
        """Create a job that repeats this one, which must have ended without success, and return it."""
        return self._calls.retry(self.id)

    def log_to_mlflow(self) -> Self:
        """Log the succeeded job to MLflow again."""
        return self._take(self._calls.log_to_mlflow(self.id))

    def delete(self) -> None:
        """Delete the job, which must have ended, and its artifact."""
        self._calls.delete(self.id)

    def download(self, destination: Path | str) -> Manifest:
        """Download the artifact into a folder; each file is checked against its SHA-256."""
        return self._calls.download(self.id, Path(destination))

    def layers(self) -> Listing[Layer]:
        """List the pruning result of each matrix."""
        return self._calls.layers(self.id)

    def __repr__(self) -> str:
        return f"<{one_line(self)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return html(self, self.url)


class JobCalls(EventCalls, LogCalls, ArtifactCalls):
    """Jobs, their results, events, logs and artifacts."""

    @property
    def base_url(self) -> str:
        """Base URL of the service."""
        return self._http.url

    def create(self, spec: Spec | None = None, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]) -> Job:
        """Create a job from a body, from keywords (`JobOptions`), or from both; keywords override the body.

        All fields but the model have defaults. Retries after lost responses create no second job.

        `idempotency_key`: the caller's own, such as a pipeline's run id: several calls within a day create one job.

        Raises:
            InvalidOption: an unknown keyword, two that exclude each other, or no model.
        """
        headers, body = {"Idempotency-Key": idempotency_key or str(uuid4())}, body_of(spec, options)
        return self._job_in(self._http.send("POST", path_to("jobs"), body=body, headers=headers))

    def plan(self, spec: Spec | None = None, **options: Unpack[JobOptions]) -> Plan:
        """Return a dry run of a job: its model, resources, queue position, and warnings. Nothing is stored."""
        query, body = {"validate_only": "true"}, body_of(spec, options)
        return self._http.fetch(Plan.model_validate, "POST", path_to("jobs"), query=query, body=body)

    def get(self, job_id: str) -> Job:
        """Return one job."""
        return self._job_in(self._http.send("GET", path_to("jobs", job_id)))

    def list(
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
    ) -> Listing[Job]:
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
        return self._http.items(self._job_of, path_to("jobs"), query)

    def cancel(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Cancel the job. `if_match`: only if the job still has this `etag`; the same holds for the other changes."""
        return self._change(job_id, "cancel", if_match)

    def pause(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Pause the job; its finished blocks are kept."""
        return self._change(job_id, "pause", if_match)

    def resume(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Queue a paused job again; it resumes after its last finished block."""
        return self._change(job_id, "resume", if_match)

    def retry(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Create a job that repeats this one, which must have ended without success."""
        return self._change(job_id, "retry", if_match)

    def log_to_mlflow(self, job_id: str, *, if_match: str | None = None) -> Job:
        """Log a succeeded job to MLflow again, such as after attempts were given up."""
        return self._change(job_id, "mlflow", if_match)

    def _change(self, job_id: str, change: str, if_match: str | None) -> Job:
        return self._job_in(self._http.send("POST", path_to("jobs", job_id, change), headers=_only(if_match)))

    def delete(self, job_id: str, *, if_match: str | None = None) -> None:
        """Delete a job that has ended, and its artifact."""
        self._http.send("DELETE", path_to("jobs", job_id), headers=_only(if_match), repeat=Repeat.UNDONE)

    def wait(self, job_id: str, timeout: float | None = None, *, progress: ShowProgress = False) -> Job:
        """Wait until the job has ended, and return it.

        `progress`: whether to show a progress line; `auto`: in terminals and notebooks.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; the job continues.
        """
        end, line = math.inf if timeout is None else time.monotonic() + timeout, ProgressLine(progress)
        longest = _SHOWN_SECONDS if line.is_shown else _WAIT_SECONDS
        try:
            while True:
                left = max(0.0, end - time.monotonic())
                began = time.monotonic()
                job = self._get_within(job_id, math.ceil(min(left, longest)))
                line.show(job)
                if job.has_ended:
                    return job
                if time.monotonic() >= end:
                    raise TimeoutError(f"job {job_id} is still {job.state} after {timeout:.0f} s")
                pause = min(_LEAST_SECONDS, left) - (time.monotonic() - began)  # a busy service may answer without waiting
                time.sleep(max(0.0, pause))
        finally:
            line.close()

    def _get_within(self, job_id: str, seconds: int) -> Job:
        """Return the job as soon as it has ended, or after `seconds`."""
        headers = {"Prefer": f"wait={seconds}"}
        return self._job_in(self._http.send("GET", path_to("jobs", job_id), headers=headers, timeout=seconds + _ANSWER_SECONDS))

    def _job_of(self, document: Any) -> Job:
        return Job.model_validate(document)._bound(self)

    def _job_in(self, response: httpx.Response) -> Job:
        """Return the job, with its version from the `ETag` header."""
        return parsed(response, lambda: self._job_of(response.json() | {"etag": response.headers.get("ETag")}))

    def attempts(self, job_id: str) -> Sequence[Attempt]:
        """List the attempts at the job: worker, times, and outcome."""
        return self._http.fetch(list_of(Attempt.model_validate), "GET", path_to("jobs", job_id, "attempts"))

    def layers(self, job_id: str) -> Listing[Layer]:
        """List the pruning result of each matrix, in the order of the model."""
        return self._http.items(Layer.model_validate, path_to("jobs", job_id, "layers"))

    def metrics(self, job_id: str) -> Metrics:
        """Return the measurements so far: dense and pruned quality, sizes, timings, peak memory."""
        return self._http.fetch(Metrics.model_validate, "GET", path_to("jobs", job_id, "metrics"))

    def compare(self, job_ids: Sequence[str]) -> Comparison:
        """Compare 2 to 50 jobs: settings that differ, measurements, and which job is best."""
        query = {"ids": list(job_ids)}
        return self._http.fetch(Comparison.model_validate, "GET", path_to("jobs", "compare"), query=query)


def _only(if_match: str | None) -> dict[str, str]:
    return drop_none(**{"If-Match": if_match})
