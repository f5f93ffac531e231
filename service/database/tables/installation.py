"""Identity of the database, and files of the artifact store that it does not know."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from service.database.engine import Base


class Installation(Base):
    """Single row that the migration inserts; the artifact store has a copy of its id."""

    __tablename__ = "installation"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())


class OrphanedFile(Base):
    """File of the artifact store that no row names; garbage collection deletes it after a grace period."""

    __tablename__ = "orphaned_files"

    path: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
