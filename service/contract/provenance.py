"""Where an artifact comes from: what it was made of, with what, and on what."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PROVENANCE_NAME = "provenance.json"


class SourceFacts(BaseModel):
    """The model that was pruned."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: Literal["hub", "local", "job"]
    id: str
    revision: str | None = Field(
        None, description="hub: the commit; job: the fence of its artifact; local: a fingerprint of the folder's files"
    )
    license: str | None = Field(None, description="as the source's own card states it")
    base_model: str | None = None


class TextFacts(BaseModel):
    """A text as it was read: its documents joined by two newlines, in UTF-8. That is what was tokenised."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: str = Field(description="with its split", examples=["wiki-sample:test"])
    documents: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class TaskFacts(BaseModel):
    """A zero-shot task as it was asked: for every request what the harness gives the model, a JSON array a line, in UTF-8.

    The examples that are shown first are a part of it, so it changes with their number as with the data and the templates.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    task: str
    questions: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class EngineFacts(BaseModel):
    """With what it was made. Other versions, or another device, may round otherwise."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = Field(description="of dsnot")
    python: str
    device: str = Field(description="the processor or GPU")
    libraries: dict[str, str] = Field(description="versions by name")


class Provenance(BaseModel):
    """`provenance.json`, and a part of the manifest. Together with `recipe.json` it tells all that decides the result."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: SourceFacts
    engine: EngineFacts
    seed: int = Field(description="of the calibration's windows; nothing else is drawn")
    texts: list[TextFacts] = Field(description="that were read for calibration and perplexity")
    tasks: list[TaskFacts] = Field([], description="that were asked, those of groups one by one")
