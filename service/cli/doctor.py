"""`dsnot doctor`: health checks of a deployment."""

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.output import AsJson, CommandFailed, note, print_json, print_table
from service.ops.consistency.hashes import Hashes

if TYPE_CHECKING:
    from service.ops.doctor.findings import Finding
    from service.settings import Settings


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compare all rows with the objects of the artifact store; takes long.")
    ] = False,
    hashes: Annotated[
        Hashes,
        typer.Option(help="With --deep: artifacts whose files are read and hashed; sample: 20. Sizes are always compared."),
    ] = Hashes.NONE,
    removes: Annotated[bool, typer.Option("--remove-orphans", help="With --deep: remove the objects that no row names.")] = False,
    marks: Annotated[
        bool,
        typer.Option(
            "--mark-missing", help="With --deep: mark artifacts and data sets whose files are missing or differ as removed."
        ),
    ] = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Print what the two would do, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the deployment of the DSNOT_… variables, or this home's running stack, and print what to do.

    Exit status: 0 no check failed, warnings are possible; 1 a check failed.
    """
    from dataclasses import asdict

    from service.ops.doctor.findings import Verdict
    from service.ops.doctor.operations import examine

    if not deep and (removes or marks or hashes != Hashes.NONE):
        raise CommandFailed("--hashes, --remove-orphans and --mark-missing need --deep", 2)
    if is_dry and not (removes or marks):
        raise CommandFailed("--dry-run needs --remove-orphans or --mark-missing", 2)
    settings, is_embedded = _settings()
    findings = examine(settings, is_embedded=is_embedded)
    if deep:
        findings += _deep(settings, hashes, removes=removes, marks=marks, is_dry=is_dry)
    if as_json:
        for finding in findings:
            print_json(asdict(finding))
    else:
        print_table(("check", "", "found", "what to do"), [(f.check, f.verdict, f.found, f.remedy) for f in findings])
    if any(finding.verdict == Verdict.FAIL for finding in findings):
        raise typer.Exit(1)


def _deep(settings: "Settings", hashes: Hashes, *, removes: bool, marks: bool, is_dry: bool) -> "list[Finding]":
    """Return the findings of the comparison with the store; print what was or would be done."""
    from service.cli.databases import database_errors_reported
    from service.errors import Problem
    from service.ops.doctor.deep import examine_store

    try:
        with database_errors_reported():
            findings, done = examine_store(settings, hashes=hashes, removes=removes, marks=marks, is_dry=is_dry)
    except Problem as problem:
        raise CommandFailed(problem.detail) from problem
    for sentence in done:
        note(sentence)
    return findings


def _settings() -> "tuple[Settings, bool]":
    """Return the settings, and whether they are those of this home's stack."""
    import os

    from pydantic import ValidationError

    from service.client.discovery import running_stack, this_home
    from service.embedded.stack import places
    from service.settings import Settings, problems_of

    try:
        if os.environ.get("DSNOT_DATABASE_URL"):
            return Settings(), False
        home = this_home()
        stack = running_stack(home)
        urls = {"database_url": stack.database_url, "database_direct_url": None, "broker_url": stack.broker_url}
        return Settings.model_validate(urls | places(home)), True
    except ValidationError as error:
        raise CommandFailed("; ".join(problems_of(error))) from error
