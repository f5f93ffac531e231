"""The calls, one method each.

client = DsnotClient()                                    # DSNOT_URL and DSNOT_API_KEY, or the stack of this home
job = client.create_job({"model": {"id": "meta-llama/Llama-3.1-8B"}})
job = client.wait(job.id)
client.download(job.id, Path("pruned"))
"""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx

from service.client import discovery
from service.client.answers import Attempt, Job, Layer, ModelInfo, Worker
from service.client.datasets import DatasetCalls
from service.client.download import Received, fetch_all
from service.client.events import Event, follow
from service.client.transport import Transport, pages
from service.client.triggers import TriggerCalls
from service.client.webhooks import WebhookCalls
from service.contract import JobSpec, Manifest

_WAIT_SECONDS: Final = 30.0
_LEAST_SECONDS: Final = 1.0
"""Between two looks at a job that the service did not wait for."""


class DsnotClient:
    """A client of one service. Every call raises ApiError with the service's problem, or Unreachable."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`patience`: for how many seconds reads are tried again while the service is away or says 503."""
        if url is None or key is None:
            known_url, known_key = discovery.address()
            url, key = url or known_url, key or known_key
        self._transport = Transport(url, key, patience, transport)
        self.webhooks = WebhookCalls(self._transport)
        self.datasets = DatasetCalls(self._transport)
        self.triggers = TriggerCalls(self._transport)

    def __enter__(self) -> "DsnotClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self._transport.url

    def close(self) -> None:
        self._transport.close()

    def create_job(self, spec: JobSpec | Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Ask for a job; all fields but `model` have defaults. Lost answers and restarts make no second one.

        `idempotency_key`: the caller's own, such as the id of a pipeline's run: several calls within a day make one job.
        """
        body = spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, JobSpec) else dict(spec)
        return Job.model_validate(self._transport.write_once("/v1/jobs", body, key=idempotency_key or str(uuid4())))

    def plan(self, spec: JobSpec | Mapping[str, Any]) -> dict[str, Any]:
        """What a job would be: its model, what it needs, its place in the queue, and warnings. Nothing is stored."""
        body = spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, JobSpec) else dict(spec)
        return dict(self._transport.write_once("/v1/jobs?validate_only=true", body))

    def get_job(self, job_id: str) -> Job:
        return Job.model_validate(self._transport.read(_job(job_id)))

    def list_jobs(
        self,
        *,
        state: str | None = None,
        model: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Job]:
        """Newest first; pages are fetched as they are needed."""
        wanted: dict[str, str] = {name: value for name, value in (("state", state), ("model", model)) if value}
        wanted |= {f"label.{name}": value for name, value in (labels or {}).items()}
        return map(Job.model_validate, self._pages("/v1/jobs", wanted))

    def cancel_job(self, job_id: str) -> Job:
        return self._change(job_id, "cancel")

    def pause_job(self, job_id: str) -> Job:
        """Have the job wait; what it has finished is kept."""
        return self._change(job_id, "pause")

    def resume_job(self, job_id: str) -> Job:
        return self._change(job_id, "resume")

    def retry_job(self, job_id: str) -> Job:
        """The job that tries this one, which has ended without success, again."""
        return self._change(job_id, "retry")

    def _change(self, job_id: str, change: str) -> Job:
        return Job.model_validate(self._transport.write_once(f"{_job(job_id)}/{change}"))

    def delete_job(self, job_id: str) -> None:
        """Forget a job that has ended, its artifact included."""
        self._transport.delete(_job(job_id))

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Every event above number `after`, live, until the job has ended; lost connections are taken up again."""
        return follow(self._transport, job_id, after)

    def attempts(self, job_id: str) -> list[Attempt]:
        return [Attempt.model_validate(item) for item in self._pages(f"{_job(job_id)}/attempts")]

    def layers(self, job_id: str) -> Iterator[Layer]:
        """What pruning did to each matrix, in the order of the model."""
        return map(Layer.model_validate, self._pages(f"{_job(job_id)}/layers"))

    def metrics(self, job_id: str) -> dict[str, Any]:
        """Dense and pruned quality, sizes, timings, peak memory."""
        return dict(self._transport.read(f"{_job(job_id)}/metrics"))

    def manifest(self, job_id: str) -> Manifest:
        """The files of the job's artifact."""
        return Manifest.model_validate(self._transport.read(f"{_job(job_id)}/artifacts"))

    def download(self, job_id: str, destination: Path, received: Received = lambda _path, _size: None) -> Manifest:
        """Bring the artifact below `destination`, each file checked against the manifest's SHA-256.

        Raises:
            DownloadRefused: a file is not what the manifest promises, or would leave the destination.
        """
        manifest = self.manifest(job_id)
        fetch_all(self._transport, job_id, manifest, destination, received)
        return manifest

    def inspect_model(self, id: str, *, source: str = "hub", revision: str | None = None, token: str | None = None) -> ModelInfo:  # noqa: A002
        """What a model is, and whether it can be pruned, without fetching its weights."""
        asked = {"id": id, "source": source, "revision": revision, "token": token}
        return ModelInfo.model_validate(
            self._transport.read("/v1/models/inspect", {name: value for name, value in asked.items() if value is not None})
        )

    def recipes(self) -> dict[str, Any]:
        """What can be asked for."""
        return dict(self._transport.read("/v1/recipes"))

    def workers(self) -> list[Worker]:
        """Who takes jobs, and what each is at."""
        return [Worker.model_validate(item) for item in self._pages("/v1/workers")]

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """The job once it has ended.

        Raises:
            TimeoutError: it has not within `timeout` seconds; it goes on.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            began = time.monotonic()
            job = Job.model_validate(self._transport.wait(_job(job_id), seconds=math.ceil(min(left, _WAIT_SECONDS))))
            if job.has_ended:
                return job
            if time.monotonic() >= end:
                raise TimeoutError(f"job {job_id} is still {job.state} after {timeout:.0f} s")
            time.sleep(max(0.0, min(_LEAST_SECONDS, left) - (time.monotonic() - began)))  # it may have had no room for waiting

    def _pages(self, path: str, params: Mapping[str, str] | None = None) -> Iterator[Any]:
        return pages(self._transport, path, params)


def _job(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
