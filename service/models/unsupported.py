"""Check whether the engine can prune a model, by its outline."""

from service.contract.checkpoints import UNSUPPORTED
from service.models.outline import ModelOutline


def reason_against(model: ModelOutline) -> str | None:
    """Return why the engine will refuse the model; None if no reason is known."""
    if model.architecture in UNSUPPORTED:
        return f"{model.architecture} {UNSUPPORTED[model.architecture]}"
    if not model.blocks:
        return "The model has no list of decoder layers."
    if not model.prunable_parameters:
        return "There is no matrix in the model's decoder layers that could be pruned."
    return None
