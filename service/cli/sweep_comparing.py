"""`dsnot sweeps compare`: the best points of one sweep, or of several in one table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.identifiers import SWEEP, complete_id
from service.cli.output import AsJson, CommandFailed, note, print_fields, print_json, print_table

if TYPE_CHECKING:
    from service.client.sweeps import Point, SweepDetail


def compare(
    sweep_ids: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Ids of one or more sweeps, or their beginnings.")],
    front: Annotated[
        list[str] | None,
        typer.Option("--front", metavar="MEASURE", help="Measure of the joint Pareto front; two or three, as of `sweeps show`."),
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", metavar="MEASURE", help="Column of the table; may be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show also points that are not on the front.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare points of one or more sweeps: those on their joint Pareto front, the sparsest first."""
    from service.cli.comparing import short_names
    from service.cli.sweep_views import cells, shown_measures, titles
    from service.client import Client

    with Client(patience=2) as client:
        sweeps = [client.sweeps.get(each) for each in dict.fromkeys(complete_id(client, SWEEP, text) for text in sweep_ids)]
    points = [(sweep, point) for sweep in sweeps for point in sweep.table]
    names, on_front = _joint_front([point for _, point in points], front or ())
    points = [(sweep, point.model_copy(update={"on_front": i in on_front})) for i, (sweep, point) in enumerate(points)]
    shown = sorted((each for each in points if everything or each[1].on_front), key=lambda each: -_sparsity(each[1]))
    if as_json:
        found = [{"sweep_id": sweep.id, **point.model_dump(mode="json", exclude_unset=True)} for sweep, point in shown]
        print_json({"front": names, "points": found})
        return
    usual = dict.fromkeys(name for sweep in sweeps for name in [*shown_measures(sweep), *names])
    columns = [_column(each, points) for each in measure] if measure else list(usual)
    short = dict(zip((sweep.id for sweep in sweeps), short_names([sweep.id for sweep in sweeps]), strict=True))
    print_fields((short[sweep.id], f"{sweep.id}  {sweep.name or sweep.model}") for sweep in sweeps)
    rows = [[short[sweep.id], str(point.position), point.text, *cells(sweep, point, columns)] for sweep, point in shown]
    print_table(("sweep", "#>", "point", *(f"{title}>" for title in titles(columns)), "*"), rows)
    if not names:
        note("no front: no point has measured a quality yet; --all shows all points")


def _joint_front(points: "Sequence[Point]", wanted: Sequence[str]) -> tuple[list[str], frozenset[int]]:
    """Return the measures of the front, and the indices of the points on it."""
    from service.errors import InvalidInput
    from service.sweeps import front as pareto

    measured = [point.figures for point in points]
    try:
        names = pareto.chosen(measured, wanted)
    except InvalidInput as error:
        raise CommandFailed(f"--{error.detail}", 2) from error
    return list(names), pareto.front(measured, names)


def _sparsity(point: "Point") -> float:
    return point.figures["sparsity"].value if "sparsity" in point.figures else 0.0


def _column(name: str, points: "Sequence[tuple[SweepDetail, Point]]") -> str:
    """Return the full name of a measure. Raises CommandFailed if it is not measured, or ambiguous."""
    from service.sweeps.front import full_name

    try:
        return full_name(name, {each for _, point in points for each in point.figures})
    except ValueError as error:
        raise CommandFailed(f"--measure: {error}", 2) from error
