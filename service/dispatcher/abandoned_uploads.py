"""Multipart uploads of attempts that ended without their worker aborting them."""

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
    """Abort the uploads that belong to no running attempt; return their number.

    The store is listed before the database is read: an upload begins after its job was claimed, so the database knows the claim
    of every listed upload.
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
    """Return job and fence of an upload, without fence for blocks, which belong to the job; None for other keys."""
    match = _KEY.fullmatch(upload.key)
    return (UUID(match[1]), None if match[2] == "blocks" else int(match[2])) if match else None
