"""What the Hugging Face Hub's refusals mean for a user, for the service and the worker alike.

Texts of the hub's client are never passed on: they hold addresses and request ids.
"""

from dataclasses import dataclass

from service.contract import FailureCode


@dataclass(frozen=True)
class Refusal:
    """Why the hub does not give a model. With the code `internal` it may give it later."""

    code: FailureCode
    detail: str
    field: str = "id"
    """Which part of the job's `model` to change."""


def refusal_of(error: Exception, model_id: str, revision: str | None) -> Refusal:
    """What an error of the hub's client, of its HTTP library or of the network under it means."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    response = error.response if isinstance(error, HfHubHTTPError) else None
    status = response.status_code if response is not None else None
    if isinstance(error, RevisionNotFoundError):
        return Refusal(FailureCode.MODEL_NOT_FOUND, f"{model_id} has no revision {revision or 'main'} on the hub.", "revision")
    if isinstance(error, GatedRepoError) or (status in {401, 403} and not isinstance(error, RepositoryNotFoundError)):
        detail = f"The hub does not let this service read {model_id}: ask for access, and name a token that has it (model.token)."
        return Refusal(FailureCode.MODEL_ACCESS_DENIED, detail)
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        detail = f"The hub has no model {model_id}, or it is private and the token used cannot see it."
        return Refusal(FailureCode.MODEL_NOT_FOUND, detail)
    trouble = f"it answered {status}" if status else type(error).__name__
    return Refusal(FailureCode.INTERNAL, f"The model hub could not be reached for {model_id} ({trouble}).")
