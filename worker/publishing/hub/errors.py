"""Errors of an upload to the Hugging Face Hub as sentences with a remedy.

Messages of the hub and of its client are never passed on, because they hold addresses and request ids.
"""

from service.kit.network_errors import chain_of, reason_of


class RepositoryIsPublic(Exception):
    """Public repository as the destination of a private artifact."""


def sentence_of(error: Exception, *, repo: str, branch: str, token_name: str) -> str:
    """Return a sentence on the error. `token_name`: the operator's name for the token, which the job's spec shows, too."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError

    if isinstance(error, RepositoryIsPublic):
        return f"{repo} is public, but the job requests a private one: make it private, or set output.hub.private to false."
    if any(isinstance(each, OfflineModeIsEnabled) for each in chain_of(error)):
        return "This worker is set to offline mode (HF_HUB_OFFLINE); its operator can change that."
    if any(isinstance(each, HFValidationError) for each in chain_of(error)):
        return f"The hub does not allow the repository name {repo}: choose another (output.hub.repo)."
    if any(isinstance(each, RevisionNotFoundError) for each in chain_of(error)):
        return f"{repo} has no branch {branch}, and it could not be created: choose another (output.hub.branch)."
    status = _status(error)
    if status is not None:
        return _of_status(status, repo, token_name)
    if any(isinstance(each, OSError) or type(each).__module__.startswith("httpx") for each in chain_of(error)):
        return f"The hub could not be reached: {reason_of(error)}."
    return "The upload to the hub failed; the worker's log has the reason."


def _of_status(status: int, repo: str, token_name: str) -> str:
    owner = repo.partition("/")[0]
    sentences = {
        401: f"The hub does not accept the token {token_name!r} (401): it may have expired; the service's operator can renew it.",
        402: f"The hub requires {owner} to pay before it accepts more (402).",
        403: f"The token {token_name!r} may not write to {repo} (403): give it that right, or name another (output.hub.token).",
        404: f"The hub has no owner {owner}, or the token {token_name!r} does not see {repo} (404): check output.hub.",
        409: f"Another commit changed {repo} at the same time (409).",
        413: "The hub rejects a file as too large (413).",
        429: "The hub's rate limit is exceeded (429): upload again later.",
    }
    if status >= 500:
        return f"The hub had an internal error (HTTP status {status}): upload again later."
    return sentences.get(status, f"The hub rejected the upload (HTTP status {status}).")


def _status(error: Exception) -> int | None:
    """Return the HTTP status of the hub's response, even if the client has wrapped it; None without a response."""
    for each in chain_of(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None
