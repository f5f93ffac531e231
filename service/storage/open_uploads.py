"""Multipart uploads that nobody will complete: parts that cost room in an S3 bucket and that no listing of objects shows.

A process that is killed leaves them, and so does a retry of the request that opens one. obstore can neither list nor end them;
botocore can. Google's and Azure's stores drop them by a rule of the bucket, or by themselves.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from obstore.store import ObjectStore, S3Store

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_TRUE: Final = ("1", "true", "yes", "on", "y")


@dataclass(frozen=True)
class OpenUpload:
    """One upload that was begun and neither completed nor aborted; `key` is relative to the store's prefix."""

    key: str
    id: str
    began: datetime


class OpenUploads:
    """Those of one store. For a store that is not S3 there never are any."""

    def __init__(self, store: ObjectStore, *, timeout_seconds: float = 30, retries: int = 3) -> None:
        self._bucket, self._prefix, self._client = "", "", None
        if isinstance(store, S3Store):
            self._bucket = str(store.config["bucket"])
            self._prefix = f"{store.prefix}/" if store.prefix else ""
            self._client = _client(self._bucket, timeout_seconds, retries)

    def below(self, prefix: str) -> Iterator[OpenUpload]:
        """Those whose key begins with `prefix` and a slash.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        if self._client is None:
            return
        with _as_os_error():
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{prefix}/"):
                for found in page.get("Uploads", []):
                    yield OpenUpload(found["Key"].removeprefix(self._prefix), found["UploadId"], found["Initiated"])

    def abort(self, upload: OpenUpload) -> None:
        """End one and free its parts; one that is gone already is no error.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        assert self._client is not None
        with _as_os_error():
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._prefix + upload.key, UploadId=upload.id)
            except self._client.exceptions.NoSuchUpload:
                return

    def abort_below(self, prefix: str) -> int:
        """Abort all whose key begins with `prefix` and a slash; how many there were."""
        found = list(self.below(prefix))
        for upload in found:
            self.abort(upload)
        return len(found)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Trouble of botocore's, which has a hierarchy of its own, as the OSError that callers of a store expect."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"the store refused to list or abort uploads ({type(error).__name__})") from error


def _client(bucket: str, timeout_seconds: float, retries: int) -> Any:
    """With the credentials of AWS's own chain, and the variables in which obstore looks for endpoint and region."""
    import botocore.session
    from botocore.config import Config

    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint and os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in _TRUE:
        parts = urlsplit(endpoint)
        endpoint = urlunsplit(parts._replace(netloc=parts.netloc.removeprefix(f"{bucket}.")))
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=timeout_seconds,
            retries={"total_max_attempts": retries + 1, "mode": "standard"},
        ),
    )
