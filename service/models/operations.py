"""Inspection of a model before a job is created."""

from dataclasses import dataclass, field
from typing import Final

from service.contract.checkpoint_files import reason_against_tokenizer
from service.contract.model_spec import ModelSpec
from service.models.checks.operations import NotChecked, RecordedFiles
from service.models.headers import read_headers
from service.models.outline import ModelOutline, outline
from service.models.refusals import ModelNotFound
from service.models.sources import ModelSources
from service.models.unsupported import reason_against

FULL_COVERAGE: Final = 0.95
_HUB_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Inspection:
    """Result of inspecting a model at one revision."""

    model: ModelSpec
    outline: ModelOutline
    license: str | None
    why_not: str | None
    """Reason why the model cannot be pruned; None if it can."""
    warnings: list[str] = field(default_factory=list)
    is_checked: bool = False
    """Whether a worker has built the model without weights."""


def inspect(models: ModelSources, model: ModelSpec, *, tenant: str) -> Inspection:
    """Read the model's config and headers, and have a worker build it without weights if one is online.

    Raises:
        ModelRefused: the model does not exist, may not be read, or is unsafe to read.
        HubUnavailable, StoreUnavailable, PoolFull, ShareExceeded: the model cannot be read at the moment.
    """
    if model.source == "local" and not models.has_folders:
        raise ModelNotFound("local models are on the workers only, where this service cannot read them")
    with models.lookups.hold(tenant):
        found = models.find(model, tenant=tenant, seconds=_HUB_SECONDS)
        files = RecordedFiles(found.files)
        described = outline(read_headers(files, found.model.revision))
        reason, missing, is_checked = reason_against(described), [], False
        if reason is None:
            try:
                check = models.checks.ask(found.model, files, tenant=tenant)
            except NotChecked as error:
                missing = [str(error)]
            else:
                reason, is_checked = check.failure.detail if check.failure else None, True
                described = described.checked(check.facts) if check.facts else described
    if tokenizer := reason_against_tokenizer(found.files.sizes):
        missing.append(tokenizer)
    if reason is None:
        models.outlines.keep(found.model, described, tenant=tenant)
    return Inspection(found.model, described, found.license, reason, [*warnings_of(described), *missing], is_checked)


def warnings_of(model: ModelOutline) -> list[str]:
    """Return warnings about the model: low coverage, no head."""
    found = []
    if model.blocks and model.coverage < FULL_COVERAGE:
        share = f"Only {model.coverage:.1%} of the parameters of the decoder blocks are in matrices that can be pruned"
        found.append(f"{share}, so the model as a whole will be less sparse than requested.")
    if not model.has_head:
        found.append("The checkpoint has no language-model head: it can be pruned, but perplexity and tasks cannot be measured.")
    return found
