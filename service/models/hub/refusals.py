"""Translation of Hugging Face Hub errors into failure codes and user messages, for service and worker.

Messages of the hub's client are never passed on, because they contain URLs and request ids.
"""

from dataclasses import dataclass

from service.contract.failures import FailureCode
from service.kit.network_errors import reason_of
from service.models.hub.listing import TooManyFiles


@dataclass(frozen=True)
class Refusal:
    """Reason why a hub model is unavailable. The code `hub-unavailable` stands for a transient error."""

    code: FailureCode
    detail: str
    field: str = "id"
    """Field of the job's `model` to change."""


def refusal_of(error: Exception, model_id: str, revision: str | None) -> Refusal:
    """Translate an error of the hub's client, its HTTP library or the network."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, TooManyFiles):
        return Refusal(FailureCode.MODEL_UNSAFE, str(error))
    response = error.response if isinstance(error, HfHubHTTPError) else None
    status = response.status_code if response is not None else None
    if isinstance(error, RevisionNotFoundError):
        return Refusal(FailureCode.MODEL_NOT_FOUND, f"{model_id} has no revision {revision or 'main'} on the hub.", "revision")
    if isinstance(error, GatedRepoError) or (status in {401, 403} and not isinstance(error, RepositoryNotFoundError)):
        detail = f"The hub denies access to {model_id}; request access there, and set model.token to a token that has it."
        return Refusal(FailureCode.MODEL_ACCESS_DENIED, detail)
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        detail = f"The hub has no model {model_id}, or it is private and the token used cannot see it."
        return Refusal(FailureCode.MODEL_NOT_FOUND, detail)
    trouble = f"it answers with HTTP status {status}" if status else reason_of(error)
    return Refusal(FailureCode.HUB_UNAVAILABLE, f"The model hub cannot be asked about {model_id}: {trouble}.")
