"""Content of a run: parameters, metrics, tags and files of a succeeded job."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service.artifacts.operations import Artifact
from service.contract.artifacts import REPORT_NAME
from service.contract.figures import figures
from service.contract.matrices import BlockView
from service.contract.mlflow import MlflowSpec
from service.contract.recipe.names import pattern_name, short_recipe_name
from service.contract.verdicts import judge
from service.database.tables.jobs import Job
from service.settings import Settings

FILES: Final = (REPORT_NAME, "README.md", "recipe.json", "provenance.json", "sparsity_report.json")
"""Files of an artifact that the run gets: report, model card, and the JSON behind them."""
JOB_TAG: Final = "dsnot.job_id"
FENCE_TAG: Final = "dsnot.fence"
REPORT_TAG: Final = "dsnot.report_url"
_PARAMETERS: Final = ("model", "effort", "recipe", "calibration", "evaluation", "output", "device")
_LONGEST_PARAMETER: Final = 500
"""Characters that all versions of MLflow accept."""
_LONGEST_TAG: Final = 5000
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_\-./ ]")
_BY_BLOCK: Final = ("error_start", "error", "sparsity", "swaps")


@dataclass(frozen=True)
class RunContent:
    """Run to be created, in the form of MLflow's API, and version of a registered model."""

    wanted: MlflowSpec
    name: str
    identity: Mapping[str, str]
    """Tags by which a run is found again."""
    start_time: int
    """Unix time in milliseconds, as of the next."""
    end_time: int
    parameters: Sequence[dict[str, str]]
    metrics: Sequence[dict[str, Any]]
    tags: Sequence[dict[str, str]]
    description: str
    source: str | None
    """URI of the artifact; None in a local folder, to which MLflow refuses to refer."""
    report_url: str | None
    """Address of the report on the dashboard."""


def content_of(job: Job, blocks: Sequence[BlockView], artifact: Artifact, manifest: bytes, settings: Settings) -> RunContent:
    """Return the content of a succeeded job's run."""
    assert job.finished_at is not None
    wanted, recipe = MlflowSpec.model_validate(job.spec["output"]["mlflow"]), job.spec["recipe"]
    started, ended = _milliseconds(job.started_at or job.finished_at), _milliseconds(job.finished_at)
    page = f"{settings.public_url}/jobs/{job.id}" if settings.public_url else None
    is_local = settings.artifact_url.startswith("file:")
    source = None if is_local else f"{settings.artifact_url.rstrip('/')}/{artifact.prefix}"
    description = f"{job.model}, {pattern_name(recipe)}, {short_recipe_name(recipe)}"
    identity = {JOB_TAG: str(job.id), FENCE_TAG: str(artifact.manifest.fence)}
    tags = {
        **identity,
        "dsnot.manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        **({"dsnot.artifact_uri": source} if source else {}),
        **({"dsnot.url": page} if page else {}),
        **dict(_more_tags(job)),
        "mlflow.note.content": f"{description}. [Job {job.id}]({page})" if page else f"{description}. Job {job.id}",
        "mlflow.source.name": "dsnot",
        "mlflow.source.type": "JOB",
        "mlflow.user": job.tenant,
    }
    parameters = {name: job.spec[name] for name in _PARAMETERS if name in job.spec}
    parameters["output"] = {"formats": job.spec["output"]["formats"]}
    return RunContent(
        wanted=wanted,
        name=wanted.run_name or job.name or description,
        identity=identity,
        start_time=started,
        end_time=ended,
        parameters=[{"key": name, "value": value[:_LONGEST_PARAMETER]} for name, value in _flat(parameters)],
        metrics=[*_metrics(job.metrics or {}, ended), *_block_metrics(blocks, ended)],
        tags=[{"key": name, "value": value[:_LONGEST_TAG]} for name, value in tags.items()],
        description=description,
        source=source,
        report_url=f"{page}/report" if page else None,
    )


def _more_tags(job: Job) -> Iterator[tuple[str, str]]:
    metrics = job.metrics or {}
    if judgement := judge(metrics):
        yield "dsnot.verdict", judgement.verdict.value
    if gates := metrics.get("gates"):
        yield "dsnot.gates_passed", str(all(gate["passed"] for gate in gates)).lower()
    if job.sweep_id is not None:
        yield "dsnot.sweep_id", str(job.sweep_id)
    for name, value in job.labels.items():
        yield f"dsnot.label.{name.replace('/', '.')}", value


def _metrics(metrics: Mapping[str, Any], at: int) -> Iterator[dict[str, Any]]:
    """Yield the job's figures, with `perplexity:wiki-sample:test` as `perplexity/wiki-sample/test`."""
    for prefix, model in (("", "pruned"), ("dense/", "dense")):
        for name, figure in figures(metrics, model).items():  # type: ignore[arg-type]
            yield from _metric(f"{prefix}{name.replace(':', '/')}", figure.value, at)
    if judgement := judge(metrics):
        yield from _metric("perplexity_ratio", judgement.ratio, at)


def _block_metrics(blocks: Sequence[BlockView], at: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of each block, whose number is the step."""
    for each in blocks:
        for name in _BY_BLOCK:
            yield from _metric(f"block/{name}", getattr(each, name), at, step=each.block)


def _metric(name: str, value: float, at: int, *, step: int = 0) -> Iterator[dict[str, Any]]:
    """Yield one metric; its time is that of the job, so that MLflow ignores a repetition. JSON has no non-finite numbers."""
    if math.isfinite(value):
        parts = [part for part in _NOT_IN_NAMES.sub("_", name).split("/") if part.strip(".")]
        yield {"key": "/".join(parts), "value": value, "timestamp": at, "step": step}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested objects as text, by dotted name; nulls and empty lists are left out."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(below, f"{name}.{key}" if name else key)
    elif value not in (None, []):
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
