"""Facts of a hub repository at one commit with its list of files, read within bounds, for service and worker."""

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from service.contract.model_spec import ModelSpec

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MAX_FILES: Final = 10_000
MAX_BYTES: Final = 16 << 20


class TooManyFiles(Exception):
    """List of files that exceeds the limits, which are part of the message."""

    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"{model_id} has more than {MAX_FILES:,} files on the hub, or their list is larger than {MAX_BYTES >> 20} MiB; "
            "take a repository with fewer files."
        )


def repository_info(model: ModelSpec, token: str | None, seconds: float) -> "ModelInfo":
    """Return what `HfApi.model_info` returns, with the files' sizes.

    Raises:
        TooManyFiles: the list of files exceeds the limits.
        Exception: an error of the hub's client, its HTTP library or the network.
    """
    from huggingface_hub import constants, get_session, hf_raise_for_status
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = f"{constants.ENDPOINT}/api/models/{model.id}"
    if model.revision is not None:
        url += f"/revision/{quote(model.revision, safe='')}"
    content = bytearray()
    with get_session().stream(
        "GET", url, params={"blobs": True}, headers=build_hf_headers(token=token), timeout=seconds
    ) as response:
        hf_raise_for_status(response)
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_BYTES:
                raise TooManyFiles(model.id)
    info = ModelInfo(**json.loads(content))  # type: ignore[no-untyped-call]
    if len(info.siblings or ()) > MAX_FILES:
        raise TooManyFiles(model.id)
    return info
