"""Uploaded data sets, and which jobs use them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class UploadedDataset(Base):
    """A text that a tenant has uploaded. Its id follows from its SHA-256, so that a tenant has each text once."""

    __tablename__ = "datasets"

    upload_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    """Nobody outside knows it. A text that is deleted and uploaded again gets another."""
    tenant: Mapped[str]
    id: Mapped[str]
    """`ds-…`, by which jobs name it."""
    name: Mapped[str]
    """For people."""
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    documents: Mapped[int] = mapped_column(BigInteger)
    characters: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str]
    """Of its file in the artifact store. No two uploads have the same, so that nobody removes another's."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    """Nobody sees it any more; the row goes once the file is gone."""

    __table_args__ = (
        Index("uq_datasets_id", "tenant", "id", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_datasets_tenant_newest", "tenant", text("created_at DESC"), text("upload_id DESC")),
        Index("ix_datasets_path", "path"),
        Index("ix_datasets_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )


class JobDataset(Base):
    """A job needs a data set, at least until it has ended."""

    __tablename__ = "job_datasets"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.upload_id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index("ix_job_datasets_upload", "upload_id"),)
