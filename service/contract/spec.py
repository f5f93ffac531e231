"""Body of `POST /v1/jobs`: fields, defaults and bounds, and the rules about parts that exclude each other.

`JobSpec.model_validate(body)` fills in every default. Dumping the result and validating it again changes nothing, so that a
stored spec can be sent back to repeat a job.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from service.contract.datasets import canonical, default_split, is_upload, reference_pattern, share_text
from service.contract.display_names import DisplayName
from service.contract.efforts import FILLED, EffortName, fill_effort
from service.contract.formats import Format
from service.contract.gates import Gate
from service.contract.hub import HubUploadSpec
from service.contract.mlflow import MlflowSpec
from service.contract.model_spec import ModelSpec
from service.contract.parts import FieldError, Part, dotted
from service.contract.recipe.choices import Allocation
from service.contract.recipe.recipe import Recipe
from service.contract.samples import SamplesSpec
from service.contract.targets import check_measured, on_data_set
from service.contract.tasks import TaskNames

Bos = Annotated[
    Literal["auto", "window", "stream"],
    Field(
        description="beginning-of-sequence tokens: `window` puts one at the head of every window; `stream` is the papers' "
        "protocol, in which the text as a whole has at most one; `auto` takes `window` if the tokenizer adds one by itself and "
        "the dense model's loss is lower with it, and the metrics say which it was"
    ),
]


def _without_default_of(*fields: str) -> Callable[[dict[str, Any]], None]:
    """Return a hook that removes defaults from the schema, because generated clients would send them, and override an effort."""

    def remove(schema: dict[str, Any]) -> None:
        for field in fields:
            schema["properties"][field].pop("default", None)

    return remove


class CalibrationSpec(Part):
    """Calibration data of the pruning."""

    model_config = ConfigDict(json_schema_extra=_without_default_of(*FILLED["calibration"]))

    dataset: Annotated[str, AfterValidator(canonical("calibration"))] = Field(
        default_split("c4", "calibration"),
        max_length=128,
        examples=["c4-sample"],
        description="a built-in data set or an upload's id, `ds-…`; append `:split` to override the default split; by default "
        "`c4`, or the effort's",
        json_schema_extra={"pattern": reference_pattern()},
    )
    num_samples: int = Field(128, ge=1, le=65_536, description="number of samples; by default 128, or the effort's")
    sequence_length: int = Field(2048, ge=8, le=1_048_576, description="tokens of each sample; by default 2048, or the effort's")
    seed: int = Field(0, ge=0, lt=2**32)
    bos: Bos = "auto"


_Evaluated = Annotated[
    str,
    Field(max_length=128, json_schema_extra={"pattern": reference_pattern()}),
    AfterValidator(canonical("evaluation")),
]


class EvaluationSpec(Part):
    """Measurements of the dense and the pruned model."""

    model_config = ConfigDict(json_schema_extra=_without_default_of(*FILLED["evaluation"]))

    perplexity: list[_Evaluated] = Field(
        default=[default_split("wikitext2", "evaluation")],
        max_length=8,
        examples=[["wiki-sample"]],
        description="data sets on which perplexity is measured; by default `wikitext2`, or the effort's",
    )
    sequence_length: int = Field(
        2048, ge=8, le=1_048_576, description="tokens per window; windows do not overlap; by default 2048, or the effort's"
    )
    bos: Bos = "auto"
    max_windows: int | None = Field(
        None,
        ge=1,
        description="only the first windows of each text; null: the whole split, or 256 windows of c4; by default null, or the "
        "effort's",
    )
    tasks: TaskNames = Field(
        default=[],
        examples=[["boolq", "arc_easy"]],
        description="zero-shot tasks of lm-evaluation-harness, built-in or added by the operator: boolq, rte, hellaswag, "
        "winogrande, arc_easy, arc_challenge, openbookqa, piqa, …",
    )
    task_limit: int | None = Field(None, ge=1, description="only the first examples of each task; null: all")
    few_shot: int | None = Field(
        None, ge=0, le=64, description="few-shot examples per question; null: the task's own number, 0 for most"
    )
    baseline: bool = Field(True, description="also measure the dense model")
    speed: bool = Field(False, description="measure throughput (prefill and decode) and memory of the models on the job's device")
    agreement_windows: int = Field(
        16,
        ge=0,
        le=1024,
        description="first windows of each data set on which next-token predictions are compared with the dense model's; 0, or "
        "no `baseline`, disables the comparison",
    )
    samples: SamplesSpec | None = Field(
        None,
        description="continuations of prompts by both models, side by side; null: none. With an effort by default five built-in "
        "prompts, for models of at most 1 GiB of weights",
    )
    require: list[Gate] = Field(
        default=[],
        max_length=16,
        examples=[[{"metric": "perplexity", "dataset": "wiki-sample", "at_most_increase": 0.3}]],
        description="gates: bounds that the pruned model has to meet. A job that misses one still succeeds, with "
        "`gates_passed` false and the event `gate_failed`",
    )

    @property
    def gates(self) -> list[Gate]:
        """The gates, each with its data set filled in."""
        return [on_data_set(gate, self, where=f"/require/{place}") for place, gate in enumerate(self.require)]

    @model_validator(mode="after")
    def _gates_are_measured(self) -> "EvaluationSpec":
        for place, gate in enumerate(self.gates):
            check_measured(gate, self, where=f"/require/{place}", part="", name="evaluation")
        return self


def _once_each(formats: list[Format]) -> list[Format]:
    if len(set(formats)) < len(formats):
        raise ValueError("names a format twice; name each once")
    return formats


class OutputSpec(Part):
    """Formats of the artifact, its upload, and its entry in a registry."""

    formats: Annotated[list[Format], AfterValidator(_once_each)] = Field(
        default=["dense"],
        min_length=1,
        max_length=3,
        json_schema_extra={"uniqueItems": True},
        examples=[["packed"]],
        description="`dense` loads everywhere, `packed` omits the zeros, `mask` contains only their positions",
    )
    dtype: Literal["source"] = "source"
    hub: HubUploadSpec | None = Field(None, description="hub repository that the artifact is uploaded to after it is published")
    mlflow: MlflowSpec | None = Field(
        None,
        description="run, and version of a registered model, that a succeeded job is logged to on the service's MLflow server",
    )


Label = Annotated[str, Field(max_length=256)]
MAX_PRIORITY: Final = 9
RECIPE_VERSION: Final = 1
"""`schema_version` of `recipe.json`, which is a body."""


class JobSpec(Part):
    """The body of `POST /v1/jobs`."""

    model_config = ConfigDict(json_schema_extra=_without_default_of("recipe", *FILLED))

    name: DisplayName | None = Field(
        None,
        description="name in lists, which need not be unique; a sweep's points are named after it",
        examples=["2:4 baseline"],
    )
    model: ModelSpec
    recipe: Recipe = Recipe()
    effort: EffortName | None = Field(
        None,
        description="amount of text: fills in data sets, numbers and lengths of `calibration` and `evaluation` where left out; "
        "`quick` needs no hub, `standard` is the papers' protocol",
    )
    calibration: CalibrationSpec = CalibrationSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    output: OutputSpec = OutputSpec()
    labels: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")], Label] = Field(
        default={}, max_length=32, json_schema_extra={"additionalProperties": False}
    )
    device: Literal["any", "gpu", "cpu"] = Field("any", description="which workers may take the job")
    priority: int = Field(
        0,
        ge=0,
        le=MAX_PRIORITY,
        description="9 is served first; orders the jobs of one tenant, whose quota may bound it; tenants take turns",
    )
    queue_deadline_seconds: int | None = Field(None, ge=1, le=31_536_000)
    run_deadline_seconds: int | None = Field(None, ge=1, le=31_536_000)
    max_attempts: int = Field(
        3, ge=1, le=10, description="attempts until a retryable failure or a lost worker ends the job; with 1 the first one does"
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_version(cls, given: Any) -> Any:
        """Accept the content of `recipe.json` as a body."""
        if not isinstance(given, Mapping) or "schema_version" not in given:
            return given
        version = given["schema_version"]
        if version != RECIPE_VERSION or not isinstance(version, int) or isinstance(version, bool):
            raise FieldError(
                "/schema_version", f"must be {RECIPE_VERSION}; a recipe of another version needs the service that wrote it"
            )
        return {name: value for name, value in given.items() if name != "schema_version"}

    @model_validator(mode="before")
    @classmethod
    def _fill_effort(cls, given: Any) -> Any:
        return fill_effort(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _texts_do_not_overlap(self) -> "JobSpec":
        for evaluated in self.evaluation.perplexity:
            if share_text(self.calibration.dataset, evaluated):
                raise FieldError(
                    "/evaluation/perplexity",
                    f"overlaps with the calibration data {self.calibration.dataset}; evaluate on another split or data set",
                )
        return self

    @model_validator(mode="after")
    def _mask_tells_all(self) -> "JobSpec":
        if "mask" in self.output.formats and self.recipe.update.method != "none":
            raise FieldError(
                "/output/formats",
                f"a mask contains only the positions of zeros, but {self.recipe.update.method} changes other weights; "
                "use dense or packed, or the update none",
            )
        return self

    def stored(self) -> dict[str, Any]:
        """Return the JSON form that is stored, without unused fields that workers of the version before refuse."""
        unused: dict[str, Any] = {"name": True} if self.name is None else {}
        if self.effort is None:  # an effort would fill in what is left out
            fields = {name for name in ("samples", "require") if not getattr(self.evaluation, name)}
            unused |= {"effort": True, "evaluation": fields}
        if self.output.mlflow is None:
            unused["output"] = {"mlflow"}
        return self.model_dump(mode="json", exclude=unused)

    def uploads(self) -> dict[str, str]:
        """Return the ids of the referenced uploads, by the JSON pointer of each reference."""
        named = {f"/evaluation/perplexity/{place}": each for place, each in enumerate(self.evaluation.perplexity)}
        names = {
            place: each.partition(":")[0] for place, each in {"/calibration/dataset": self.calibration.dataset, **named}.items()
        }
        return {place: name for place, name in names.items() if is_upload(name)}

    def uses_of_head(self) -> list[str]:
        """Return the JSON pointers of the fields that need the model's language-model head."""
        evaluation = self.evaluation
        uses = {
            "/recipe/allocation": self.recipe.allocation is Allocation.ARITHMETIC,
            "/evaluation/perplexity": bool(evaluation.perplexity),
            "/evaluation/tasks": bool(evaluation.tasks),
            "/evaluation/speed": evaluation.speed,
            "/evaluation/samples": evaluation.samples is not None and not evaluation.samples.may_be_omitted,
        }
        return [pointer for pointer, is_used in uses.items() if is_used]


def without_head(uses: Sequence[str]) -> str:
    """Return the sentence about fields, by JSON pointer, that need the language-model head that a checkpoint lacks."""
    fields = ", ".join(dotted(use) for use in uses)
    return f"The checkpoint has no language-model head, which is needed for {fields}: leave that out, or take one with a head."
