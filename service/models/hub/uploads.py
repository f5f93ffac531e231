"""Authorization of uploads to hub repositories by the operator's settings, for service and worker."""

from fnmatch import fnmatchcase

from service.contract.hub import HubUploadSpec
from service.models.hub.tokens import UnknownToken, hub_token
from service.settings import Settings


class UploadRefused(ValueError):
    """Upload that is not allowed; `field` is the field of the job's `output.hub` to change."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def upload_token(settings: Settings, tenant: str, upload: HubUploadSpec) -> str:
    """Return the token to upload with.

    Raises:
        UploadRefused: the token does not exist, or uploads to this repository are not allowed.
    """
    allowed = settings.hub_upload_to
    if not allowed:
        raise UploadRefused("repo", "uploads to the hub are disabled on this service; omit output.hub and download the artifact")
    if not any(fnmatchcase(upload.repo, pattern) for pattern in allowed):
        raise UploadRefused("repo", f"this service may upload to {', '.join(allowed)} only; choose a matching repository")
    try:
        token = hub_token(settings, tenant, upload.token)
    except UnknownToken as error:
        raise UploadRefused("token", str(error)) from None
    assert token is not None
    return token
