"""`dsnot doctor`: health checks of a deployment."""

from typing import TYPE_CHECKING

import typer

from service.cli.output import AsJson, CommandFailed, print_json, print_table

if TYPE_CHECKING:
    from service.settings import Settings


def doctor(as_json: AsJson = False) -> None:
    """Check the deployment of the DSNOT_… variables, or this home's running stack, and print what to do.

    Exit status: 0 no check failed, warnings are possible; 1 a check failed.
    """
    from dataclasses import asdict

    from service.ops.doctor.findings import Verdict
    from service.ops.doctor.operations import examine

    settings, is_embedded = _settings()
    findings = examine(settings, is_embedded=is_embedded)
    if as_json:
        for finding in findings:
            print_json(asdict(finding))
    else:
        print_table(("check", "", "found", "what to do"), [(f.check, f.verdict, f.found, f.remedy) for f in findings])
    if any(finding.verdict == Verdict.FAIL for finding in findings):
        raise typer.Exit(1)


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
