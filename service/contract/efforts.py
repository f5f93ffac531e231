"""Efforts: how much text a job calibrates on and measures, by name; they fill in the fields that a job's body leaves out.

`quick` uses the sample texts that are installed with the service, so that it needs no hub. `standard` is the protocol of the
papers, with the texts of a body without an effort. All of them let small models continue prompts.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from service.contract.parts import Part
from service.contract.samples import SMALL_MODELS

EffortName = Literal["quick", "standard", "thorough"]


class Effort(Part):
    """A named amount of calibration and evaluation, as `GET /v1/recipes` describes it."""

    name: EffortName
    summary: str = Field(description="what it calibrates on and measures")
    when: str = Field(description="when to use it")
    calibration: dict[str, Any] = Field(description="fields of `calibration` that it fills in")
    evaluation: dict[str, Any] = Field(description="fields of `evaluation` that it fills in")


_SAMPLES: Final = SMALL_MODELS.model_dump(mode="json", exclude_defaults=True)

EFFORTS: Final[dict[str, Effort]] = {
    effort.name: effort
    for effort in (
        Effort(
            name="quick",
            summary="8 × 512 tokens of C4, 10 windows of Wikipedia; sample texts of the service, no hub needed.",
            when="for a first result: minutes for a 135M-parameter model on two CPU cores",
            calibration={"dataset": "c4-sample:train", "num_samples": 8, "sequence_length": 512},
            evaluation={
                "perplexity": ["wiki-sample:test"],
                "sequence_length": 512,
                "max_windows": 10,
                "samples": _SAMPLES | {"max_new_tokens": 24},
            },
        ),
        Effort(
            name="standard",
            summary="128 × 2048 tokens of C4, all of WikiText-2's test text: the papers' protocol; both from the hub.",
            when="for figures to report; hours on a CPU",
            calibration={"dataset": "c4:train", "num_samples": 128, "sequence_length": 2048},
            evaluation={"perplexity": ["wikitext2:test"], "sequence_length": 2048, "max_windows": None, "samples": _SAMPLES},
        ),
        Effort(
            name="thorough",
            summary="256 × 2048 tokens of C4, all of WikiText-2's test text and 256 windows of C4; from the hub.",
            when="for a model that will be used",
            calibration={"dataset": "c4:train", "num_samples": 256, "sequence_length": 2048},
            evaluation={
                "perplexity": ["c4:validation", "wikitext2:test"],
                "sequence_length": 2048,
                "max_windows": None,
                "samples": _SAMPLES,
            },
        ),
    )
}

FILLED: Final = {part: tuple(getattr(EFFORTS["quick"], part)) for part in ("calibration", "evaluation")}
"""Fields that an effort fills in, by part of the body."""


def fill_effort(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body with the fields of its effort filled in; the caller's values win."""
    name = body.get("effort")
    if not isinstance(name, str) or name not in EFFORTS:
        return body
    parts = {part: _merge(getattr(EFFORTS[name], part), body.get(part, {})) for part in FILLED}
    return {**body, **parts}


def _merge(effort: Mapping[str, Any], given: Any) -> Any:
    if isinstance(given, BaseModel):
        given = given.model_dump(mode="json", exclude_unset=True)
    return {**effort, **given} if isinstance(given, Mapping) else given
