"""Whether a job may upload its artifact to a repository of the hub, by what the operator has set. Service and worker ask."""

from fnmatch import fnmatchcase

from service.contract import HubUploadSpec
from service.models.hub.tokens import UnknownToken, hub_token
from service.settings import Settings


class UploadRefused(ValueError):
    """It may not; `field` is the part of the job's `output.hub` to change."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def upload_token(settings: Settings, tenant: str, upload: HubUploadSpec) -> str:
    """The token to upload with.

    Raises:
        UploadRefused: there is none of this name, or the repository is not among those that may be uploaded to.
    """
    allowed = settings.hub_upload_to
    if not allowed:
        raise UploadRefused("repo", "this service uploads nothing to the hub; leave output.hub out and fetch the artifact")
    if not any(fnmatchcase(upload.repo, pattern) for pattern in allowed):
        raise UploadRefused("repo", f"this service may upload to {', '.join(allowed)} only; choose such a repository")
    try:
        token = hub_token(settings, tenant, upload.token)
    except UnknownToken as error:
        raise UploadRefused("token", str(error)) from None
    assert token is not None
    return token
