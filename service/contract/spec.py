"""The job's body: what a user may ask for, with every default, and the rules by which parts of it exclude each other.

`JobSpec.model_validate(body)` fills everything in; dumping the result and validating it again changes nothing, so the stored spec
can be sent back to repeat a job. Presets are data here because the service fills them in without importing the engine; a test
holds them against the engine's own.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.contract.datasets import canonical, default_split


class FieldError(ValueError):
    """A rule about several fields is broken. `pointer` names the one to change, relative to the part that checks."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer


class Part(BaseModel):
    """A frozen piece of the spec that refuses unknown fields and guesses no types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_LOCAL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95}){0,3}")
_REVISION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


class ModelSpec(Part):
    source: Literal["hub", "local"] = Field("hub", description="`hub`, or `local`: a folder below the server's model root")
    id: str = Field(max_length=256, examples=["meta-llama/Llama-3.1-8B"])
    revision: str | None = Field(None, max_length=128, description="hub only: branch, tag or commit; stored as the commit")

    @model_validator(mode="after")
    def _names_are_plain(self) -> "ModelSpec":
        pattern = _HUB_ID if self.source == "hub" else _LOCAL_ID
        if not pattern.fullmatch(self.id) or ".." in self.id:
            raise FieldError(
                "/id",
                "must be a plain name such as 'organisation/model': letters, digits, '.', '_' and '-', no '..', "
                "no leading '/', no URL",
            )
        if self.revision is not None and self.source == "local":
            raise FieldError("/revision", "applies to hub models only; leave it out for a local model")
        if self.revision is not None and (not _REVISION.fullmatch(self.revision) or ".." in self.revision):
            raise FieldError("/revision", "must be a branch, tag or commit name")
        return self


class Unstructured(Part):
    type: Literal["unstructured"] = "unstructured"
    sparsity: float = Field(0.5, ge=0, lt=1, description="share of each row's weights that becomes zero")


class NofM(Part):
    type: Literal["n:m"]
    n: int = Field(ge=1, description="at most n of every m consecutive inputs are non-zero")
    m: int = Field(ge=2, le=1024)

    @model_validator(mode="after")
    def _some_are_pruned(self) -> "NofM":
        if self.n >= self.m:
            raise FieldError("/n", f"must be smaller than m: {self.n}:{self.m} prunes nothing")
        return self


class NoRefinement(Part):
    method: Literal["none"]


class DsnotRefinement(Part):
    method: Literal["dsnot"] = "dsnot"
    max_cycles: int = Field(50, ge=1, le=10_000, description="swaps per row at most")
    update_threshold: float = Field(0.1, ge=0, description="a row stops when |error| is below; in the paper's per-sample sums")
    variance_power: float = Field(1.0, ge=0, le=8, description="p in D / Var[x]^p; 0 ignores the variance")
    stop_on_sign_change: bool = Field(True, description="stop a row before its error would change sign")
    accept: Literal["if_better", "always"] = Field("if_better", description="keep a row's new mask only if its true error fell")
    targets: Literal["all", "attention"] = Field("all", description="which matrices are refined")
    variance: Literal["pooled", "within_sample"] = "pooled"


class NoUpdate(Part):
    method: Literal["none"] = "none"


class RecipeSpec(Part):
    preset: Literal["dsnot-paper", "dsnot-reference"] | None = None
    pattern: Annotated[Unstructured | NofM, Field(discriminator="type")] = Unstructured()
    criterion: Literal["magnitude", "wanda"] = "wanda"
    allocation: Literal["uniform"] = "uniform"
    refinement: Annotated[NoRefinement | DsnotRefinement, Field(discriminator="method")] = DsnotRefinement()
    update: NoUpdate = NoUpdate()

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, given: Any) -> Any:
        """Fill in what the preset says and what discriminates the unions; what the caller gives wins."""
        if not isinstance(given, dict):
            return given
        preset = given.get("preset")
        filled: dict[str, Any] = dict(PRESETS[preset].recipe) if isinstance(preset, str) and preset in PRESETS else {}
        for name, value in given.items():
            filled[name] = _merge(name, filled.get(name), value)
        return filled


class CalibrationSpec(Part):
    dataset: Annotated[str, AfterValidator(canonical("calibration"))] = Field(
        default_split("c4", "calibration"), max_length=128, examples=["c4-sample"]
    )
    num_samples: int = Field(128, ge=1, le=65_536)
    sequence_length: int = Field(2048, ge=8, le=1_048_576)
    seed: int = Field(0, ge=0, lt=2**32)


def _no_task(name: str) -> str:
    raise ValueError(f"zero-shot tasks such as {name} are not offered yet; leave `tasks` empty")


class EvaluationSpec(Part):
    perplexity: list[Annotated[str, Field(max_length=128), AfterValidator(canonical("evaluation"))]] = Field(
        default=[default_split("wikitext2", "evaluation")], max_length=8, examples=[["wiki-sample"]]
    )
    sequence_length: int = Field(2048, ge=8, le=1_048_576, description="tokens per window; windows do not overlap")
    max_windows: int | None = Field(None, ge=1, description="the first windows only; null takes the whole split")
    tasks: list[Annotated[str, AfterValidator(_no_task)]] = Field(default=[], max_length=64, description="none yet")
    baseline: bool = Field(True, description="measure the dense model, too")


class OutputSpec(Part):
    formats: list[Literal["dense"]] = Field(default=["dense"], min_length=1, max_length=1)
    dtype: Literal["source"] = "source"


Label = Annotated[str, Field(max_length=256)]


class JobSpec(Part):
    """The body of `POST /v1/jobs`."""

    model: ModelSpec
    recipe: RecipeSpec = RecipeSpec()
    calibration: CalibrationSpec = CalibrationSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    output: OutputSpec = OutputSpec()
    labels: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")], Label] = Field(
        default={}, max_length=32
    )
    priority: int = Field(0, ge=0, le=9, description="9 is served first")
    queue_deadline_seconds: int | None = Field(None, ge=1, le=31_536_000)
    run_deadline_seconds: int | None = Field(None, ge=1, le=31_536_000)
    max_attempts: int = Field(3, ge=1, le=10)

    @model_validator(mode="after")
    def _texts_do_not_overlap(self) -> "JobSpec":
        if self.calibration.dataset in self.evaluation.perplexity:
            raise FieldError(
                "/evaluation/perplexity",
                f"calibration takes {self.calibration.dataset}, too; evaluate on another split or data set",
            )
        return self


class Preset(Part):
    """A named recipe, as `GET /v1/recipes` describes it."""

    name: str
    summary: str
    cost: str = Field(description="relative to Wanda")
    when: str
    recipe: dict[str, Any]


_PAPER: Final = {"method": "dsnot", "accept": "always"}
_REFERENCE: Final = _PAPER | {"stop_on_sign_change": False, "targets": "attention", "variance": "within_sample"}

PRESETS: Final[dict[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset(
            name="dsnot-paper",
            summary="Wanda, then DSnoT as the paper describes it: every matrix, pooled variance, sign rule, every swap kept.",
            cost="a little more than Wanda: no Gram matrix is needed",
            when="to compare with the paper",
            recipe={"criterion": "wanda", "refinement": _PAPER},
        ),
        Preset(
            name="dsnot-reference",
            summary="What the released DSnoT code does by default: attention only, no sign rule, variance within samples.",
            cost="a little more than Wanda",
            when="to reproduce figures made with the released code",
            recipe={"criterion": "wanda", "refinement": _REFERENCE},
        ),
    )
}

_DEFAULT_KIND: Final = {
    "pattern": ("type", "unstructured"),
    "refinement": ("method", "dsnot"),
    "update": ("method", "none"),
}


def _merge(name: str, preset: Any, given: Any) -> Any:
    """`given` over `preset`, field by field where both are of one kind; the kind itself may be left out."""
    if name not in _DEFAULT_KIND or not isinstance(given, dict):
        return given
    tag, default = _DEFAULT_KIND[name]
    preset = preset if isinstance(preset, dict) else {}
    kind = given.get(tag, preset.get(tag, default))
    return {**(preset if preset.get(tag) == kind else {}), tag: kind, **given}
