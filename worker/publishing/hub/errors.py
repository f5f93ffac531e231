"""What an upload to the Hugging Face Hub failed of, and what to do about it, in a sentence.

Texts of the hub and of its client are never passed on: they hold addresses and request ids.
"""

from collections.abc import Iterator


class RepositoryIsPublic(Exception):
    """The repository that a private artifact is to go to can be read by everybody."""


def sentence_of(error: Exception, *, repo: str, branch: str, token_name: str) -> str:
    """`token_name`: what the operator calls the token, which the job's spec shows, too."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError

    if isinstance(error, RepositoryIsPublic):
        return f"Everybody can read {repo}, and the job asks for a private one: make it so, or set output.hub.private to false."
    if any(isinstance(each, OfflineModeIsEnabled) for each in _chain(error)):
        return "This worker is set not to reach the hub (HF_HUB_OFFLINE); whoever runs it can change that."
    if any(isinstance(each, HFValidationError) for each in _chain(error)):
        return f"The hub allows no repository of the name {repo}: choose another (output.hub.repo)."
    if any(isinstance(each, RevisionNotFoundError) for each in _chain(error)):
        return f"{repo} has no branch {branch}, and none could be made: choose another (output.hub.branch)."
    status = _status(error)
    if status is not None:
        return _of_status(status, repo, token_name)
    if any(isinstance(each, OSError) or type(each).__module__.startswith("httpx") for each in _chain(error)):
        return f"The hub could not be reached, or the connection to it broke ({type(error).__name__})."
    return f"Something went wrong on the way to the hub ({type(error).__name__})."


def _of_status(status: int, repo: str, token_name: str) -> str:
    owner = repo.partition("/")[0]
    sentences = {
        401: f"The hub does not accept the token {token_name!r} (401): it may have expired; whoever runs the service renews it.",
        402: f"The hub wants {owner} to pay before it takes more (402).",
        403: f"The token {token_name!r} may not write to {repo} (403): give it that right, or name another (output.hub.token).",
        404: f"The hub has no owner {owner}, or the token {token_name!r} does not see {repo} (404): check output.hub.",
        409: f"Somebody else changed {repo} at the same moment (409).",
        413: "The hub finds a file too large (413).",
        429: "The hub takes no more requests for a while (429): it limits how many may come in a time.",
    }
    if status >= 500:
        return f"The hub is in trouble of its own (it answered {status})."
    return sentences.get(status, f"The hub refused it (it answered {status}).")


def _status(error: Exception) -> int | None:
    """Of the hub's answer, also where the client has wrapped it."""
    for each in _chain(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it came of."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
