"""Looking at a model before a job is made of it."""

from dataclasses import dataclass, field
from typing import Final

from service.contract import ModelSpec
from service.models.outline import ModelOutline, outline
from service.models.refusals import ModelNotFound
from service.models.sources import ModelSources
from service.models.unsupported import reason_against

FULL_COVERAGE: Final = 0.95
_HUB_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Inspection:
    """What was found of a model at one state."""

    model: ModelSpec
    outline: ModelOutline
    license: str | None
    why_not: str | None
    """Why it cannot be pruned."""
    warnings: list[str] = field(default_factory=list)


def inspect(models: ModelSources, model: ModelSpec, *, tenant: str) -> Inspection:
    """Read the model's config and headers.

    Raises:
        ModelRefused: it does not exist, may not be read, or is unsafe to read.
        HubUnavailable, StoreUnavailable: that cannot be told now.
    """
    if model.source == "local" and not models.has_folders:
        raise ModelNotFound("local models lie on the workers only, where this service cannot look at them")
    found = models.find(model, tenant=tenant, seconds=_HUB_SECONDS)
    described = outline(found.headers())
    return Inspection(found.model, described, found.license, reason_against(described), warnings_of(described))


def warnings_of(model: ModelOutline) -> list[str]:
    """What to know of it before relying on a result."""
    if not model.blocks or model.coverage >= FULL_COVERAGE:
        return []
    share = f"Only {model.coverage:.1%} of the parameters of the decoder blocks are in matrices that can be pruned"
    return [f"{share}, so the model as a whole will be less sparse than it is asked for."]
