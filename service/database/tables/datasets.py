"""Uploaded data sets, and the jobs that use them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class UploadedDataset(Base):
    """Text uploaded by a tenant; the id is derived from its SHA-256, so that a tenant stores each text once."""

    __tablename__ = "datasets"

    upload_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    """Internal id; a text that is deleted and uploaded again gets another."""
    tenant: Mapped[str]
    id: Mapped[str]
    """Public id, `ds-…`, that jobs refer to."""
    name: Mapped[str]
    """Display name."""
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    documents: Mapped[int] = mapped_column(BigInteger)
    characters: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str]
    """Path in the artifact store, unique per upload, so that a removal never affects another upload."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    """Time of soft deletion; the row is deleted after the file."""

    __table_args__ = (
        Index("uq_datasets_id", "tenant", "id", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_datasets_tenant_newest", "tenant", text("created_at DESC"), text("upload_id DESC")),
        Index("ix_datasets_path", "path"),
        Index("ix_datasets_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )


class JobDataset(Base):
    """Use of a data set by a job, which protects the data set until the job has ended."""

    __tablename__ = "job_datasets"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.upload_id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index("ix_job_datasets_upload", "upload_id"),)
