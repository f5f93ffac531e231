"""`dsnot jobs report`: download of a job's HTML report."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.identifiers import JOB, JobId, complete_id
from service.cli.output import AsJson, note, print_json


def report(
    job_id: JobId,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Target file; dsnot-JOB.html by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a job's report, a self-contained HTML page. Exit status: 0 downloaded, 1 not possible."""
    from service.client import Client
    from service.contract.artifacts import REPORT_NAME

    with Client(patience=10) as client:
        job_id = complete_id(client, JOB, job_id)
        target = to or Path(f"dsnot-{job_id}.html")
        file = client.jobs.download_file(job_id, REPORT_NAME, target)
    if as_json:
        print_json({"file": str(target.absolute()), **file.model_dump(exclude={"path"})})
    else:
        typer.echo(str(target))
        note("open it with any browser; it needs no network")
