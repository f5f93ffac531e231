"""Inspection of a model before a job is created."""

from dataclasses import dataclass, field
from typing import Final

from service.contract.checkpoint_files import reason_against_tokenizer
from service.contract.spec import ModelSpec
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


def inspect(models: ModelSources, model: ModelSpec, *, tenant: str) -> Inspection:
    """Read the model's config and headers.

    Raises:
        ModelRefused: the model does not exist, may not be read, or is unsafe to read.
        HubUnavailable, StoreUnavailable, PoolFull, ShareExceeded: the model cannot be read at the moment.
    """
    if model.source == "local" and not models.has_folders:
        raise ModelNotFound("local models are on the workers only, where this service cannot read them")
    with models.lookups.hold(tenant):
        found = models.find(model, tenant=tenant, seconds=_HUB_SECONDS)
        described = outline(found.headers())
    tokenizer = reason_against_tokenizer(found.files.sizes)
    warnings = [*warnings_of(described), *([tokenizer] if tokenizer else [])]
    return Inspection(found.model, described, found.license, reason_against(described), warnings)


def warnings_of(model: ModelOutline) -> list[str]:
    """Return warnings about the model: low coverage, no head."""
    found = []
    if model.blocks and model.coverage < FULL_COVERAGE:
        share = f"Only {model.coverage:.1%} of the parameters of the decoder blocks are in matrices that can be pruned"
        found.append(f"{share}, so the model as a whole will be less sparse than requested.")
    if not model.has_head:
        found.append("The checkpoint has no language-model head: it can be pruned, but perplexity and tasks cannot be measured.")
    return found
