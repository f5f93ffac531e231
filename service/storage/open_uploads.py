"""Incomplete multipart uploads of an S3 bucket, whose parts use space and appear in no listing of objects.

Killed processes leave them, and so does a retry of the request that opens one. obstore can neither list nor abort them, so
botocore does. Google's store removes them by a lifecycle rule, Azure's by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from obstore.store import ObjectStore, S3Store

from service.storage.reasons import reason_of
from service.storage.s3_client import s3_client

_REFUSED: Final = (403, 405, 501)
"""Status of a missing right, and of providers without the call."""


class UploadsRefused(OSError):
    """The bucket does not allow, or its provider does not have, the listing or aborting of multipart uploads."""

    REMEDY: ClassVar = (
        "grant s3:ListBucketMultipartUploads and s3:AbortMultipartUpload, or add a lifecycle rule to the bucket that aborts "
        "incomplete multipart uploads after some days"
    )


class UploadsFailed(OSError):
    """Failure of the store to list or abort uploads, with the reason."""


@dataclass(frozen=True)
class OpenUpload:
    """One upload that is neither completed nor aborted; `key` is relative to the store's prefix."""

    key: str
    id: str
    began: datetime


class OpenUploads:
    """Open multipart uploads of one store; always empty for stores other than S3."""

    def __init__(self, store: ObjectStore, *, timeout_seconds: float = 30, retries: int = 3) -> None:
        self._bucket, self._prefix, self._client = "", "", None
        if isinstance(store, S3Store):
            self._bucket = str(store.config["bucket"])
            self._prefix = f"{store.prefix}/" if store.prefix else ""
            self._client = s3_client(self._bucket, timeout_seconds, retries)

    def below(self, prefix: str) -> Iterator[OpenUpload]:
        """Yield the uploads whose key begins with `prefix` and a slash.

        Raises:
            UploadsRefused, UploadsFailed: the store refuses, or does not answer.
        """
        if self._client is None:
            return
        with _as_os_error():
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{prefix}/"):
                for found in page.get("Uploads", []):
                    yield OpenUpload(found["Key"].removeprefix(self._prefix), found["UploadId"], found["Initiated"])

    def abort(self, upload: OpenUpload) -> None:
        """Abort an upload and free its parts; a missing upload is not an error.

        Raises:
            UploadsRefused, UploadsFailed: the store refuses, or does not answer.
        """
        assert self._client is not None
        with _as_os_error():
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._prefix + upload.key, UploadId=upload.id)
            except self._client.exceptions.NoSuchUpload:
                return

    def abort_below(self, prefix: str) -> int:
        """Abort all uploads whose key begins with `prefix` and a slash; return their number."""
        found = list(self.below(prefix))
        for upload in found:
            self.abort(upload)
        return len(found)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Convert botocore's exceptions to the OSError that callers of a store expect."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] in _REFUSED:
            raise UploadsRefused("the store does not allow to list or abort multipart uploads") from error
        raise UploadsFailed(f"uploads could not be listed or aborted: {reason_of(error)}") from error
