"""API schemas of data sets."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.datasets import Dataset, dataset_of
from service.database.tables.datasets import UploadedDataset


class DatasetKind(StrEnum):
    """Origin of a data set."""

    BUILT_IN = "built-in"
    UPLOAD = "upload"


class DatasetView(BaseModel):
    """A data set, which jobs reference as `id` or `id:split`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ds-9f86d081884c7d65",
                    "name": "support tickets",
                    "kind": "upload",
                    "summary": "1200 documents, 3400000 characters",
                    "splits": ["train", "test", "all"],
                    "calibration": "train",
                    "evaluation": "test",
                    "bytes": 3512345,
                    "documents": 1200,
                    "characters": 3400000,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "created_at": "2026-11-26T09:30:00Z",
                    "used_by_jobs": 0,
                }
            ]
        }
    )

    id: str
    name: str = Field(description="display name")
    kind: DatasetKind
    summary: str
    splits: list[str] = Field(description="for uploads `train` (the first 90 %), `test` (the rest) and `all`")
    calibration: str = Field(description="default split for calibration")
    evaluation: str = Field(description="default split for evaluation")
    bytes: int | None = Field(None, description="uploads only: size as stored")
    documents: int | None = Field(None, description="uploads only: documents, including duplicates, which are used once")
    characters: int | None = Field(None, description="uploads only: characters in all documents")
    sha256: str | None = Field(None, description='uploads only: SHA-256 of the stored lines `{"text":"…"}`')
    created_at: datetime | None = Field(None, description="null for built-in data sets")
    used_by_jobs: int | None = Field(None, description="uploads only: number of unfinished jobs that use it")

    @classmethod
    def built_in(cls, known: Dataset) -> Self:
        """Return the view of a built-in data set."""
        return cls(id=known.name, name=known.name, kind=DatasetKind.BUILT_IN, **_use(known))

    @classmethod
    def upload(cls, made: UploadedDataset, used_by_jobs: int) -> Self:
        """Return the view of an upload."""
        known = dataset_of(made.id)
        assert known is not None
        counted = {name: getattr(made, name) for name in ("bytes", "documents", "characters", "sha256", "created_at")}
        return cls(
            id=made.id,
            name=made.name,
            kind=DatasetKind.UPLOAD,
            used_by_jobs=used_by_jobs,
            **_use(known) | {"summary": f"{made.documents} documents, {made.characters} characters"},
            **counted,
        )


def _use(known: Dataset) -> dict[str, Any]:
    return {
        "summary": known.summary,
        "splits": list(known.splits),
        "calibration": known.calibration,
        "evaluation": known.evaluation,
    }


class DatasetPage(BaseModel):
    """One page of data sets: the built-in ones, then the tenant's uploads, newest first."""

    items: list[DatasetView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")
