"""Check whether the engine can prune a model, by its outline."""

from service.contract.checkpoints import UNSUPPORTED
from service.models.checkpoint import CheckpointHeaders
from service.models.outline import ModelOutline, outline
from service.models.refusals import ModelUnsupported


def usable_outline(headers: CheckpointHeaders) -> ModelOutline:
    """Return the outline of a model that can be pruned, as far as its headers show. Raises ModelUnsupported."""
    model = outline(headers)
    if reason := reason_against(model):
        raise ModelUnsupported(reason)
    return model


def reason_against(model: ModelOutline) -> str | None:
    """Return why the engine will refuse the model; None if no reason is known."""
    if model.architecture in UNSUPPORTED:
        return f"{model.architecture} {UNSUPPORTED[model.architecture]}"
    if not model.blocks:
        return "The model has no list of decoder layers."
    if model.incomplete:
        return model.incomplete
    if not model.prunable_parameters:
        return "There is no matrix in the model's decoder layers that could be pruned."
    return None
