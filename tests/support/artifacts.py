"""Published artifacts without a worker."""

import hashlib
from pathlib import Path
from uuid import UUID

from service.contract.artifacts import Manifest, ManifestFile, artifact_prefix
from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import insert_job

CONTENT = bytes(range(256)) * 40
FILES = {"model.safetensors": CONTENT, "config.json": b"{}", "onnx/very deep/ä#?.bin": b"deep", "empty": b""}


def publish(settings: Settings, database: Database, files: dict[str, bytes] = FILES) -> UUID:
    """A job that has succeeded, and its artifact in the local store."""
    job_id = insert_job(database, state=JobState.SUCCEEDED)
    prefix = artifact_prefix(job_id, 1)
    folder = Path(settings.artifact_url.removeprefix("file://")) / prefix
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    listed = [ManifestFile(path=p, bytes=len(c), sha256=hashlib.sha256(c).hexdigest()) for p, c in files.items()]
    (folder / "manifest.json").write_text(Manifest(job_id=str(job_id), fence=1, files=listed).model_dump_json())
    (folder / "unlisted").write_bytes(b"left behind")
    name_artifact(database, job_id, prefix)
    return job_id


def name_artifact(database: Database, job_id: UUID, prefix: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET artifact_prefix = %s WHERE id = %s", (prefix, job_id))
