"""Multipart uploads whose attempt has ended without its worker: nobody else would abort those of a job's last attempt."""

import re
from typing import Final
from uuid import UUID

from service.database.engine import Database
from service.dispatcher import repository
from service.dispatcher.metrics import UPLOADS_ABORTED
from service.logging import get_logger
from service.storage.open_uploads import OpenUpload, OpenUploads

log = get_logger(__name__)

_KEY: Final = re.compile(r"jobs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(\d+|blocks)/.+")


def abort_abandoned(database: Database, uploads: OpenUploads) -> int:
    """Abort what belongs to no running attempt; how many there were.

    The store is asked first: whoever began an upload had claimed its job before, so that the database knows of the claim.
    """
    found = [(upload, *owner) for upload in uploads.below("jobs") if (owner := _owner(upload))]
    if not found:
        return 0
    with database.begin() as session:
        running = repository.running_fences(session, {job_id for _, job_id, _ in found})
    abandoned = [upload for upload, job_id, fence in found if job_id not in running or fence not in (None, running[job_id])]
    for upload in abandoned:
        uploads.abort(upload)
        UPLOADS_ABORTED.inc()
        log.info("abandoned_upload_aborted", key=upload.key)
    return len(abandoned)


def _owner(upload: OpenUpload) -> tuple[UUID, int | None] | None:
    """The job and the fence of the attempt; no fence for blocks, which are the job's. None: it is none of ours."""
    match = _KEY.fullmatch(upload.key)
    return (UUID(match[1]), None if match[2] == "blocks" else int(match[2])) if match else None
