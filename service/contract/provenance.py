"""Provenance of an artifact: its source model, texts, tasks, engine and device."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PROVENANCE_NAME = "provenance.json"
BosProtocol = Literal["window", "stream"]
"""Whether windows have a beginning-of-sequence token of their own: at the head of each, or none."""


class SourceFacts(BaseModel):
    """The model that was pruned."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: Literal["hub", "local", "job"]
    id: str
    revision: str | None = Field(
        None,
        description="hub: the commit; job: the fence of its artifact; local: a fingerprint of the folder's files on the "
        "worker, with their times (`recipe.json` has a hash of their content)",
    )
    license: str | None = Field(None, description="as stated on the source's model card")
    base_model: str | None = None


class TextFacts(BaseModel):
    """A text as it was tokenised: its documents joined by two newlines, in UTF-8."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: str = Field(description="data set and split", examples=["wiki-sample:test"])
    documents: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class TaskFacts(BaseModel):
    """A zero-shot task as it was evaluated: the harness's requests to the model, one JSON array per line, in UTF-8.

    Requests contain the few-shot examples, so the hash changes with their number, the data and the templates.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    task: str
    questions: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class EngineFacts(BaseModel):
    """Engine, libraries and device of the run. Other versions or devices may round differently."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = Field(description="version of dsnot")
    python: str
    device: str = Field(description="the processor or GPU")
    libraries: dict[str, str] = Field(description="versions by name")


class Provenance(BaseModel):
    """`provenance.json`, also part of the manifest. Together with `recipe.json` it determines the result."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = Field(1, description="version of this file's fields; 1 in artifacts of before the field as well")
    model: SourceFacts
    engine: EngineFacts
    bos: BosProtocol = Field(
        "stream", description="`window`: every calibration window had a beginning-of-sequence token at its head"
    )
    seed: int = Field(description="seed of the calibration windows; nothing else is random")
    texts: list[TextFacts] = Field(description="texts of calibration and perplexity")
    tasks: list[TaskFacts] = Field([], description="evaluated tasks; groups are listed task by task")
