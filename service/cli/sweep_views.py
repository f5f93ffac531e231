"""Text views of sweeps."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import typer

from service.cli.comparing import quantity_text
from service.cli.output import local_time, note, print_fields, print_table, printable
from service.client.sweeps import Figure, Point, Sweep, SweepDetail, SweepPlan
from service.contract.recipe.names import pattern_name
from service.contract.states import TERMINAL_STATES, JobState
from service.kit.quantities import about, figure, size

_ALWAYS_SHOWN: Final = ("sparsity", "packed_bytes", "seconds")
_KEPT: Final = {"all": "all stay", "front": "those on the front stay", "best": "the answer's stays"}
_TITLES: Final = {"packed_bytes": "packed", "seconds": "time"}


def print_sweeps(sweeps: Sequence[Sweep]) -> None:
    """Print a table of sweeps that fits 80 columns."""
    if not sweeps:
        note("no sweeps")
        return
    rows = [
        (
            each.id,
            each.name or each.model.rpartition("/")[2],
            str(each.state),
            _done(each),
            f"{local_time(each.created_at):.16}"[5:],
        )
        for each in sweeps
    ]
    print_table(("sweep!", "name", "state", "done>", "created"), rows)


def print_sweep(sweep: SweepDetail) -> None:
    """Print one sweep: settings, the answer of a search, and the table of points."""
    model = sweep.spec["template"]["model"]
    print_fields(
        [
            ("sweep", sweep.id),
            ("name", sweep.name or ""),
            ("state", str(sweep.state)),
            ("points", points_text(sweep)),
            ("model", f"{sweep.model} ({model.get('source', 'hub')})"),
            ("revision", model.get("revision") or ""),
            *_settings(sweep.spec),
            ("target", sweep.search.target if sweep.search else ""),
            ("labels", ", ".join(f"{name}={value}" for name, value in sweep.labels.items())),
            ("created", local_time(sweep.created_at)),
            ("ended", local_time(sweep.finished_at)),
            ("front of", " and ".join(sweep.front)),
        ]
    )
    print_points(sweep)
    print_answer(sweep)
    for line in problems(sweep):
        typer.echo(printable(line))


def print_points(sweep: SweepDetail) -> None:
    """Print the table of points, and on which data sets their columns were measured."""
    columns, rows = points_table(sweep, sweep.table)
    print_table(columns, rows)


def print_answer(sweep: SweepDetail) -> None:
    """Print the sentence of a search; nothing for a grid."""
    if sweep.search:
        typer.echo(printable(sweep.search.text))
        if not sweep.search.monotone:
            note("warning: a measured candidate below the answer misses the target; look at the table of points")


def problems(sweep: SweepDetail) -> Iterator[str]:
    """Yield why points, or the search itself, failed."""
    for point in sweep.table:
        if point.error:
            yield f"point {point.position} ({point.text}) {point.state}: {point.error.detail or point.error.code.sentence}"
    if sweep.error:
        yield f"the search failed: {sweep.error}"


def points_table(
    sweep: SweepDetail, points: Iterable[Point], measures: Sequence[str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of a table of points; the columns of `measures`, or by default of the usual ones."""
    names = shown_measures(sweep) if measures is None else measures
    columns = ["#>", "point", "state", *(f"{title}>" for title in titles(names)), "*"]
    return columns, [[str(point.position), point.text, str(point.state), *cells(sweep, point, names)] for point in points]


def cells(sweep: SweepDetail, point: Point, names: Iterable[str]) -> list[str]:
    """Return the cells of a point's measures and of its place on the front."""
    return [*(figure_text(name, point.figures.get(name), sweep.dense) for name in names), "*" if point.on_front else ""]


def shown_measures(sweep: SweepDetail) -> list[str]:
    """Return the names of perplexities, of usual measures, and of those that the front and the target are about."""
    known = list(dict.fromkeys(name for point in sweep.table for name in point.figures))
    target = sweep.spec.get("target") or {}
    wanted = str(target.get("metric") or "")
    about = [name for name in known if wanted and (name.startswith(f"{wanted}:") or wanted == f"task:{name.partition(':')[2]}")]
    perplexities = [name for name in known if name.startswith("perplexity:")]
    return list(dict.fromkeys([*perplexities, *(name for name in _ALWAYS_SHOWN if name in known), *sweep.front, *about]))


def titles(names: Sequence[str]) -> list[str]:
    """Return the titles of measures: `perplexity`, or `perplexity on c4:validation` if there are several."""
    short = [name.partition(":")[0] for name in names]
    return [
        _TITLES.get(name, kind if short.count(kind) == 1 else " on ".join(name.split(":", 1)))
        for name, kind in zip(names, short, strict=True)
    ]


def figure_text(name: str, measured: Figure | None, dense: Mapping[str, Figure]) -> str:
    """Return a measurement; a perplexity with its ratio to the dense model's."""
    if measured is None:
        return ""
    if name == "sparsity":
        return f"{100 * measured.value:.1f} %"
    if name.startswith("perplexity:") and name in dense:
        return f"{figure(measured.value)} ({measured.value / dense[name].value:.3f}×)"
    return quantity_text(name.partition(":")[0], measured.value)


def points_text(sweep: Sweep) -> str:
    """Return `1 running, 11 succeeded`."""
    return ", ".join(f"{sweep.jobs[state]} {state}" for state in JobState if sweep.jobs.get(state))


def print_plan(found: SweepPlan) -> None:
    """Print a plan, and its warnings on standard error."""
    model = found.spec["template"]["model"]
    count = f"up to {found.point_count}" if found.spec.get("target") else str(found.point_count)
    print_fields(
        [
            ("model", str(model["id"])),
            ("revision", model.get("revision") or ""),
            *_settings(found.spec),
            ("jobs", count),
            ("takes", _takes(found)),
            ("disk", f"up to {size(found.disk_bytes)} of a worker's" if found.disk_bytes else ""),
            ("size", f"{size(found.artifact_bytes)} of artifacts until the end" if found.artifact_bytes else ""),
            ("quota", f"{found.queued_jobs} of {found.max_queued_jobs} jobs queued"),
        ]
    )
    rows = [
        (
            str(each.position),
            each.text,
            about(each.run_seconds, each.run_seconds_low, each.run_seconds_high) if each.run_seconds else "",
        )
        for each in found.table
    ]
    print_table(("#>", "point" if not found.spec.get("target") else "first point", "time>"), rows)
    for warning in found.warnings:
        note(f"warning: {warning}")


def _takes(found: SweepPlan) -> str:
    if found.wall_seconds is None:
        return found.note or "unknown"
    work = f", {about(found.run_seconds, found.run_seconds_low, found.run_seconds_high)} of work" if found.run_seconds else ""
    workers = "1 worker" if found.able_workers == 1 else f"{found.able_workers} workers"
    return f"{about(found.wall_seconds, found.wall_seconds_low, found.wall_seconds_high)} on {workers}{work}"


def _settings(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the axes, or the candidates of a search, and which artifacts stay."""
    for where, values in (spec.get("axes") or {}).items():
        yield where, ", ".join(_value(each) for each in values)
    over = spec.get("over") or {}
    if over.get("sparsity"):
        lowest, highest = over["sparsity"]
        yield "candidates", f"sparsities from {lowest:g} to {highest:g} in steps of {over.get('step', 0.01):g}"
    for name in ("patterns", "presets"):
        if over.get(name):
            yield "candidates", f"{name} {', '.join(_value(each) for each in over[name])}"
    if over:
        judged = "the whole 95 % interval" if spec.get("judge_by") == "interval" else "the value alone"
        first = f", {spec['try_first']} first" if spec.get("try_first") else ""
        yield "search", f"at most {spec.get('max_points')} points{first}; {judged} must meet the target"
    yield "artifacts", _KEPT.get(spec.get("keep") or "", "")


def _value(value: Any) -> str:
    """Return a value of an axis, or a candidate: text as it is, a pattern as `2:4`, anything else as JSON."""
    if isinstance(value, dict) and value.get("type") in ("unstructured", "n:m"):
        return pattern_name({"pattern": value})
    return value if isinstance(value, str) else json.dumps(value)


def _done(sweep: Sweep) -> str:
    unfinished = sum(sweep.jobs.get(state, 0) for state in JobState if state not in TERMINAL_STATES)
    return f"{sweep.point_count - unfinished}/{sweep.point_count}"
