"""`dsnot jobs submit`, whose options are those of `dsnot jobs plan` and of templates as well."""

from typing import Annotated, Any

import typer

from service.cli import job_body
from service.cli.identifiers import references
from service.cli.job_options import PANELS
from service.cli.option_errors import named_options
from service.cli.output import AsJson, note, print_json
from service.cli.shared_options import in_panels
from service.contract.efforts import EFFORTS
from service.contract.recipe import choices
from service.contract.recipe.presets import PRESETS

Labels = Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="May be repeated.")]

Preset = Annotated[
    str | None,
    typer.Option(metavar="|".join(PRESETS), help="A named recipe; other options override it. By default balanced."),
]
Effort = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(EFFORTS),
        help="Amount of calibration and evaluation text; other options override it. Default: quick; with --spec, no effort.",
    ),
]
Criterion = Annotated[str | None, typer.Option(metavar="|".join(choices.Criterion), help="Saliency of a weight.")]
Allocation = Annotated[str | None, typer.Option(metavar="|".join(choices.Allocation), help="Sparsity of each block.")]
Objective = Annotated[
    str | None, typer.Option(metavar="|".join(choices.Objective), help="Target that every matrix is fitted to.")
]
Refinement = Annotated[str | None, typer.Option(metavar="none|dsnot|swaps", help="How the mask is improved.")]
Update = Annotated[
    str | None, typer.Option(metavar="none|obs|least_squares|admm", help="How the kept weights change; settings go into --spec.")
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="For example a pipeline's run id: submitting again with the same key within a day creates no second job.",
    ),
]


@in_panels(PANELS)
def submit(
    model: Annotated[str | None, typer.Argument(help="Hub id, or with --source a local folder or an earlier job.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job in lists.")] = None,
    source: Annotated[str | None, typer.Option(metavar="hub|local|job", help="Source of the model; hub by default.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub model; SHA-256 of the files of a local one.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Name of a hub token that the operator keeps, for gated models.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="Share of each row's weights that becomes zero.")] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="N:M", help="At most N of every M weights are kept, such as 2:4.")
    ] = None,
    preset: Preset = None,
    effort: Effort = None,
    criterion: Criterion = None,
    allocation: Allocation = None,
    objective: Objective = None,
    refinement: Refinement = None,
    update: Update = None,
    dataset: Annotated[str | None, typer.Option(help="Calibration data set: NAME or NAME:SPLIT; ds-… for an upload.")] = None,
    samples: Annotated[int | None, typer.Option(help="Number of calibration samples.")] = None,
    sequence_length: Annotated[int | None, typer.Option(help="Tokens per calibration sample and evaluation window.")] = None,
    bos: Annotated[
        str | None,
        typer.Option(metavar="auto|window|stream", help="Beginning-of-sequence token at the head of every window, or not."),
    ] = None,
    evaluate: Annotated[
        list[str] | None, typer.Option(help="Data set to measure perplexity on, NAME or NAME:SPLIT; may be repeated.")
    ] = None,
    speed: Annotated[bool | None, typer.Option("--speed", help="Also measure the models' speed on the job's device.")] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task", metavar="NAME", help="Zero-shot task of lm-evaluation-harness, such as arc_easy; may be repeated."
        ),
    ] = None,
    task_limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of examples per task.")] = None,
    few_shot: Annotated[int | None, typer.Option(min=0, max=64, help="Few-shot examples per question of a task.")] = None,
    agreement_windows: Annotated[
        int | None, typer.Option(help="Windows per data set on which next tokens are compared with the dense model's.")
    ] = None,
    generate: Annotated[
        bool | None,
        typer.Option(
            "--generate/--no-generate",
            help="Let both models continue prompts. Default: only with an effort, and for models up to 1 GiB of weights.",
        ),
    ] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="TEXT", help="Prompt to continue instead of the built-in ones; may be repeated."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC[:DATASET],BOUND=VALUE",
            help="Gate that the pruned model has to meet, such as perplexity:wiki-sample,at-most-increase=0.3 or "
            "task:arc_easy,at-most-decrease=0.02; may be repeated.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="dense|packed|mask", help="Format of the published weights; may be repeated."),
    ] = None,
    hub_repo: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Also upload the result to this repository of the hub.")
    ] = None,
    hub_token: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of a hub token with write access that the operator keeps.")
    ] = None,
    hub_branch: Annotated[str | None, typer.Option(metavar="BRANCH", help="Branch of that repository; main by default.")] = None,
    hub_public: Annotated[
        bool | None, typer.Option("--hub-public", help="Create the repository as public; private by default.")
    ] = None,
    mlflow_experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also log the job to this experiment of the service's MLflow server.")
    ] = None,
    mlflow_run: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run; by default the job's.")] = None,
    mlflow_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Registered model that gets a version whose source is the artifact.")
    ] = None,
    mlflow_alias: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Alias that moves to that version, such as candidate.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="any|gpu|cpu", help="Which workers may take the job.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="From 0 to 9; 9 is served first.")] = None,
    label: Labels = None,
    spec: Annotated[str | None, typer.Option(metavar="FILE", help="Job body as JSON, - for stdin; options override it.")] = None,
    idempotency_key: IdempotencyKey = None,
    follow: Annotated[bool, typer.Option("--watch", help="Follow the job to its end, as `dsnot jobs watch` does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job. Exit status: 0 accepted (with --watch: as `dsnot jobs watch`), 1 refused."""
    _submit(locals(), idempotency_key, follow, as_json)  # every option under its name


def _submit(given: dict[str, Any], key: str | None, follow: bool, as_json: bool) -> None:
    from service.cli.watching import watch_to_end
    from service.client import Client

    body = job_body.of_options(given)
    with Client(patience=2) as client:
        references(client, body)
        with named_options(given):
            job = client.jobs.create(body, idempotency_key=key)
        for warning in job.warnings:
            note(f"warning: {warning}")
        if effort := EFFORTS.get(job.spec.get("effort") or ""):
            note(f"effort {effort.name}: {effort.summary}")
        if follow:
            note(f"job {job.id} is queued")
            watch_to_end(client, job.id, as_json)
        elif as_json:
            print_json(job.model_dump(mode="json"))
        else:
            typer.echo(job.id)
            note(f"queued; follow it with `dsnot jobs watch {job.id}`")
