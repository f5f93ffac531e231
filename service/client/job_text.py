"""One-line and HTML views of a job, for interpreters and notebooks."""

from collections.abc import Iterator
from html import escape

from service.client.answers import Job
from service.client.errors import NotMeasured
from service.contract.recipe.names import pattern_name, recipe_name


def one_line(job: Job) -> str:
    """Return `Job 0b8f1c1e… succeeded: org/model, 50 %, wanda; perplexity 1.77 times dense on wiki-sample:test`."""
    about = ", ".join((job.model, *_recipe(job)))
    return f"Job {job.id} {_state(job)}: {about}" + "".join(f"; {result}" for result in _results(job))


def html(job: Job, url: str) -> str:
    """Return a table with a link to the job's page; foreign text is escaped."""
    rows = [
        ("job", f'<a href="{escape(url)}">{escape(job.id)}</a>'),
        ("state", escape(_state(job))),
        ("model", escape(job.model)),
        *zip(("sparsity", "recipe"), map(escape, _recipe(job)), strict=False),
        *(("result", escape(result)) for result in _results(job)),
    ]
    return "<table>" + "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"


def progress_line(job: Job) -> str:
    """Return `pruning ██████░░░░░░ 12 of 24 blocks`, or the state of a job without progress."""
    if job.progress is None or job.has_ended:
        return str(job.state if job.has_ended else job.stage or job.state)
    done, total = job.progress.done, max(job.progress.total, 1)
    full = min(_WIDTH, _WIDTH * done // total)
    return f"{job.stage} {'█' * full}{'░' * (_WIDTH - full)} {done:,} of {job.progress.total:,} {job.progress.unit}"


_WIDTH = 20


def _state(job: Job) -> str:
    return str(job.state) if job.has_ended or job.stage is None else f"{job.state} ({job.stage})"


def _recipe(job: Job) -> list[str]:
    recipe = job.spec.get("recipe")
    return [pattern_name(recipe), recipe_name(recipe)] if recipe else []


def _results(job: Job) -> Iterator[str]:
    if job.error is not None:
        yield f"{job.error.code}: {job.error.detail}"
    try:
        metrics = job.metrics
    except ValueError:  # of another version of the service
        metrics = None
    for each in metrics.pruned.perplexity if metrics and metrics.pruned else []:
        try:
            yield f"perplexity {metrics.ratio(each.dataset):.3g} times dense on {each.dataset}"  # type: ignore[union-attr]
        except NotMeasured:
            yield f"perplexity {each.perplexity:.4g} on {each.dataset}"
    if job.gates_passed is not None:
        yield "all gates passed" if job.gates_passed else "a gate is missed"
