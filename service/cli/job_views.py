"""Text views of jobs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from service.cli.output import counted, duration, local_time, note, print_fields, print_table, printable
from service.cli.sample_views import print_samples
from service.client import Job
from service.client.answers import Progress
from service.contract.gates import gate_text
from service.contract.recipe.names import pattern_name, recipe_name
from service.contract.speed_ways import prefills, prompt_lengths, timed
from service.contract.states import JobState, Stage
from service.kit.quantities import figure, size


def print_job(job: Job, *, all_samples: bool = False) -> None:
    """Print one job: settings, progress, and results, of the samples the first one unless all are requested."""
    calibration = job.spec["calibration"]
    print_fields(
        [
            ("job", job.id),
            ("name", job.name or ""),
            ("state", how_far(job)),
            ("model", f"{job.model} ({job.spec['model']['source']})"),
            ("revision", job.spec["model"].get("revision") or ""),
            ("sparsity", pattern_name(job.spec["recipe"])),
            ("recipe", recipe(job)),
            (
                "calibration",
                f"{calibration['num_samples']} × {calibration['sequence_length']} tokens of {calibration['dataset']}",
            ),
            ("uploads to", uploads_to(job)),
            ("mlflow", mlflow(job)),
            ("labels", ", ".join(f"{name}={value}" for name, value in job.spec.get("labels", {}).items())),
            ("created", local_time(job.created_at)),
            ("started", local_time(job.started_at)),
            ("expected", expected(job)),
            ("ended", local_time(job.finished_at)),
            ("took", took(job)),
            ("artifact", f"removed {local_time(job.artifact_removed_at)}" if job.artifact_removed_at else ""),
        ]
    )
    if job.metric_values:
        print_metrics(job.metric_values, all_samples=all_samples)
    if job.error:
        typer.echo(printable(failure(job)))


def print_outcome(job: Job) -> None:
    """Print the outcome of a watched job."""
    if job.metric_values and job.state == JobState.SUCCEEDED:
        print_metrics(job.metric_values)
        if job.gates_passed is False:
            note("the pruned model misses a gate; its artifact exists nevertheless")
        note(f"succeeded after {took(job)}; fetch the result with `dsnot artifacts download {job.id}`")
    elif job.error:
        note(failure(job))
    else:
        note(f"job {job.id} {job.state}")


def expected(job: Job) -> str:
    """Return `place 3, starts 14:02, ends 14:31 (14:20 to 14:45)`, as far as known."""
    place = f"place {job.queue_position}" if job.queue_position else ""
    starts = job.eta.starts_at if job.eta and job.state == JobState.QUEUED else None
    parts = (place, f"starts {local_time(starts)}" if starts else "", _ends(job))
    return ", ".join(part for part in parts if part)


def _ends(job: Job) -> str:
    """Return `ends 14:31 (14:20 to 14:45)`, or why that is unknown."""
    if job.eta is None or job.has_ended:
        return ""
    if job.eta.ends_at is None:
        return job.eta.note or ""
    first, last = job.eta.ends_earliest_at, job.eta.ends_latest_at
    between = f" ({_clock(first)} to {_clock(last)})" if first and last else ""
    return f"ends {local_time(job.eta.ends_at)}{between}"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M}"


def failure(job: Job) -> str:
    """Return why the job failed, and whether a retry can help."""
    assert job.error is not None
    again = "trying again may help" if job.error.retryable else "trying again will not help"
    return f"failed: {job.error.detail or job.error.code.sentence} ({job.error.code}; {again})"


def print_metrics(metrics: dict[str, Any], *, all_samples: bool = False) -> None:
    """Print quality, agreement, samples, speed, warnings, and cost."""
    print_quality({"dense": (metrics.get("dense"), 0.0), "pruned": (metrics.get("pruned"), metrics["sparsity"])})
    print_fields(agreement_lines(metrics.get("agreement") or []))
    print_samples(metrics.get("samples"), are_all=all_samples)
    print_speed(metrics.get("speed") or {})
    hub = metrics.get("hub") or {}
    print_fields([("on the hub", hub.get("commit_url") or "")])
    print_fields([("gate", gate_text(gate)) for gate in metrics.get("gates") or []])
    print_fields([("warning", warning) for warning in metrics.get("warnings") or []])
    print_cost(metrics)


def print_quality(models: Mapping[str, tuple[dict[str, Any] | None, float]]) -> None:
    """Print a column for each model: its measurements, if any, and its sparsity. The last model has all data sets."""
    measured = {name: _by_dataset(part) for name, (part, _) in models.items()}
    *_, last = measured.values()
    rows = []
    for dataset in last:
        found = [of.get(dataset, {}) for of in measured.values()]
        ratios = [ratio(each) for each in found]
        how = ", BOS per window" if any(each.get("bos") == "window" for each in found) else ""
        rows.append((f"perplexity on {dataset}{how}", *(perplexity(each, with_interval=not any(ratios)) for each in found)))
        if any(ratios):
            rows.append(("times the dense model's, with 95 % interval", *ratios))
    rows += task_rows([part for part, _ in models.values()])
    shares = [f"{sparsity:.2%}".replace("%", " %") if sparsity else "0.0 %" for _, sparsity in models.values()]
    print_table(("", *(f"{name}>" for name in models)), [*rows, ("sparsity of the pruned matrices", *shares)])


def task_rows(models: Sequence[dict[str, Any] | None]) -> list[tuple[str, ...]]:
    """Return rows such as `acc on boolq`, with each model's value and standard error."""
    found = [
        {
            f"{metric} on {result['task']}": _with_error(**known)
            for result in (part or {}).get("tasks", [])
            for metric, known in result["metrics"].items()
        }
        for part in models
    ]
    labels = dict.fromkeys(label for of in found for label in of)
    return [(label, *(of.get(label, "") for of in found)) for label in labels]


def _with_error(value: float, standard_error: float | None = None, **_: Any) -> str:
    return f"{value:.4f}" if standard_error is None else f"{value:.4f} ± {standard_error:.4f}"


def print_speed(speed: Mapping[str, Any]) -> None:
    """Print a column for each model that was timed; nothing if speed was not requested."""
    if not speed:
        return
    models = timed(speed)
    rows = [("tokens per second, decode", *(_rate(found["decode"]) for found in models.values()))]
    rows += [
        (
            f"tokens per second, prefill of {length:,}",
            *(_rate(prefills(speed, each).get(length)) for each in models.values()),
        )
        for length in prompt_lengths(speed)
    ]
    weights = ("weights in memory", *(size(found["weight_bytes"]) for found in models.values()))
    if models:
        print_table((f"on {speed['device']}", *(f"{name}>" for name in models)), [*rows, weights])
    if speed.get("why_not"):
        print_fields([("not measured", speed["why_not"])])


def _rate(measured: Mapping[str, Any] | None) -> str:
    return f"{measured['median']:,.1f}" if measured else ""


def perplexity(measured: dict[str, Any], *, with_interval: bool) -> str:
    """Return `25.45 ± 0.310`, with half the width of the 95 % interval; the value alone without one, "" if not measured."""
    if not measured:
        return ""
    interval = measured.get("ci95") if with_interval else None
    reach = f" ± {figure((interval[1] - interval[0]) / 2)}" if interval else ""
    return figure(measured["perplexity"]) + reach


def ratio(measured: dict[str, Any]) -> str:
    """Return `1.762 (1.701 to 1.825)`: perplexity relative to the dense model's, with the 95 % interval of paired windows.

    Pairing cancels the text's own difficulty, which dominates the interval of a single perplexity. Empty if the dense model
    was not measured.
    """
    difference = measured.get("loss_difference")
    if not difference:
        return ""
    try:
        value, *interval = [f"{math.exp(loss):.3f}" for loss in (difference["mean"], *(difference["ci95"] or ()))]
    except OverflowError:
        return ""
    return f"{value} ({' to '.join(interval)})" if interval else value


def agreement_lines(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the pruned model's agreement with the dense one, for each data set."""
    return [(f"agreement on {each['dataset']}", _agreement(**each)) for each in found]


def _agreement(
    *, kl_divergence: float, kl_standard_error: float | None, top1_agreement: float, top1_standard_error: float | None, **_: Any
) -> str:
    error = f" ± {kl_standard_error:.4f}" if kl_standard_error is not None else ""
    share = f"{100 * top1_agreement:.2f}" + (f" ± {100 * top1_standard_error:.2f}" if top1_standard_error is not None else "")
    return f"KL divergence {kl_divergence:.4f}{error} nats per token, same next token {share} % (standard errors)"


def print_cost(metrics: dict[str, Any]) -> None:
    """Print time by stage, peak memory, and the artifact's size."""
    seconds: dict[str, float] = metrics.get("seconds") or {}
    stages = [(str(stage), duration(seconds[stage])) for stage in Stage if stage in seconds]
    print_table(("stage", "time>"), [*stages, ("all", duration(sum(seconds.values())))])
    print_fields(
        [("peak memory", _memory(metrics.get("peak_memory_bytes") or {})), ("artifact", size(metrics.get("bytes") or 0))]
    )


def uploads_to(job: Job) -> str:
    """Return `owner/name, branch main, private, with the token research`; empty without an upload."""
    asked = job.spec.get("output", {}).get("hub")
    if not asked:
        return ""
    seen = "private" if asked["private"] else "public"
    return f"{asked['repo']}, branch {asked['branch']}, {seen}, with the token {asked['token']}"


def mlflow(job: Job) -> str:
    """Return `logged, llama-sparse version 3, https://…`, or why the last attempt failed; empty if not requested."""
    found = job.mlflow
    if found is None:
        return ""
    again = f"next attempt {local_time(found.next_attempt_at)}" if found.next_attempt_at else ""
    version = f"{found.model} version {found.version}" if found.version else ""
    return ", ".join(part for part in (found.state, found.error or "", again, version, found.run_url or "") if part)


def recipe(job: Job) -> str:
    """Return `wanda, then swaps, propagated (preset balanced)`."""
    asked = job.spec["recipe"]
    return recipe_name(asked) + (f" (preset {asked['preset']})" if asked.get("preset") else "")


def how_far(job: Job) -> str:
    """Return `running: pruning, 12 of 30 blocks`."""
    if job.has_ended or not job.stage:
        return str(job.state)
    return f"{job.state}: {job.stage}" + (f", {progress_text(job.progress)}" if job.progress else "")


def progress_text(progress: Progress) -> str:
    """Return `12 of 30 blocks, 3 of 7 matrices of the next`."""
    within = f", {progress.matrices_done} of {progress.matrices_total} matrices of the next" if progress.matrices_total else ""
    return counted(progress.done, progress.total, progress.unit) + within


def took(job: Job) -> str:
    """Return the time of all attempts, without waits and pauses."""
    running = (datetime.now(UTC) - job.attempt_started_at).total_seconds() if job.attempt_started_at else 0.0
    if job.active_seconds is not None or job.attempt_started_at:
        return duration((job.active_seconds or 0.0) + running)
    if job.started_at is None or job.finished_at is None:
        return ""
    return duration((job.finished_at - job.started_at).total_seconds())  # from an older service


def _by_dataset(part: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {measured["dataset"]: measured for measured in (part or {}).get("perplexity", [])}


def _memory(peak: dict[str, int | None]) -> str:
    host, total, device = peak.get("host"), peak.get("host_total"), peak.get("device")
    parts = [f"{size(host)} above an idle worker" if host else "", f"{size(total)} in all" if total else ""]
    return ", ".join([part for part in parts if part] + ([f"{size(device)} on the device"] if device else []))
