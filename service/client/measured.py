"""Metrics of a job. Fields that an older or newer service does not return are None or missing."""

from collections.abc import Mapping

from pydantic import Field

from service.client.answer import Answer
from service.client.errors import NotMeasured


class LossDifference(Answer):
    """Increase of the loss by pruning, in nats per token, paired by window."""

    mean: float
    standard_error: float | None = None
    ci95: tuple[float, float] | None = None


class Perplexity(Answer):
    """One measurement of perplexity. Intervals are 95 %, from the spread over windows; None with a single window."""

    dataset: str
    perplexity: float
    ci95: tuple[float, float] | None = None
    mean_nll: float
    """Nats per token."""
    standard_error: float | None = None
    """Standard error of `mean_nll`."""
    tokens: int
    windows: int
    sequence_length: int | None = None
    dropped_tokens: int = 0
    """Tokens at the end of the text that are in no window."""
    begins_with_bos: bool = False
    """Whether the tokenizer put a beginning-of-sequence token at the start of the text."""
    bos: str = "stream"
    """`window`: a beginning-of-sequence token is at the head of every window; `stream`: no window has one of its own."""
    loss_difference: LossDifference | None = None
    """Only for a pruned model, if the dense one was measured."""
    cached: bool = False
    """Whether the result was measured by an earlier job; it is bit-identical."""


class Agreement(Answer):
    """Agreement of next-token distributions of pruned and dense model; errors are standard errors over windows."""

    dataset: str
    windows: int
    tokens: int
    kl_divergence: float
    """KL(dense ‖ pruned), nats per token."""
    kl_standard_error: float | None = None
    kl_p99: float
    """99th percentile of the KL divergence over tokens."""
    top1_agreement: float
    """Share of the tokens at which both models have the same most likely next token."""
    top1_standard_error: float | None = None


class MetricValue(Answer):
    """Value of one metric of a task."""

    value: float
    standard_error: float | None = None


class TaskResult(Answer):
    """Result of one zero-shot task, or of one group of tasks."""

    task: str
    version: str | None = None
    samples: int
    few_shot: int
    metrics: dict[str, MetricValue]
    """Values by the harness's metric names: acc, acc_norm, …"""
    harness: str
    """Version of lm-evaluation-harness."""


class Quality(Answer):
    """Quality of one checkpoint."""

    perplexity: list[Perplexity] = Field([])
    tasks: list[TaskResult] = Field([])


class Throughput(Answer):
    """Tokens per second: median, lowest and highest of `times` measurements."""

    median: float
    lowest: float
    highest: float
    times: int


class ModelSpeed(Answer):
    """Throughput (prefill and decode, batch size 1) and memory of one model."""

    prefill: Throughput
    """At `prompt_tokens`."""
    prefills: Mapping[int, Throughput] = Field(default_factory=dict)
    """By prompt length in tokens."""
    first_token_seconds: float | None = None
    decode: Throughput
    dtype: str
    weight_bytes: int
    peak_bytes: int
    """Peak memory on the device, or of the process on a CPU."""
    sparse_matrices: int = 0
    """Number of matrices that ran with sparse kernels."""


class Speed(Answer):
    """Speed of the models on the job's device; None: not measured, for the reason in `why_not`."""

    device: str
    threads: int
    prompt_tokens: int
    new_tokens: int
    dense: ModelSpeed | None = None
    pruned: ModelSpeed | None = None
    sparse: ModelSpeed | None = None
    """The pruned model with 2:4 sparse kernels."""
    packed: ModelSpeed | None = None
    """The pruned model with the CPU kernels of `dsnot_runtime`."""
    packed_int8: ModelSpeed | None = None
    """The same with its kept values in int8."""
    why_not: str | None = None


class LayerError(Answer):
    """Relative error of all pruned matrices together: with the first mask, the final mask, and the final weights."""

    start: float
    mask: float | None = None
    final: float


class HubUpload(Answer):
    """Outcome of the upload to a repository of the hub: `commit_url`, or `error`."""

    repo: str
    branch: str
    commit: str | None = None
    commit_url: str | None = None
    error: str | None = None


class BosChoice(Answer):
    """Where windows have a beginning-of-sequence token (`window`, `stream`), with the dense model's losses that decided."""

    calibration: str
    evaluation: str
    loss_window: float | None = None
    """Nats per token with one at the head of each window; None: not measured."""
    loss_stream: float | None = None


class GateOutcome(Answer):
    """A gate (`evaluation.require`) and its outcome."""

    metric: str
    dataset: str | None = None
    judge_by: str
    """`interval`: the whole 95 % interval had to meet the bound; `mean`: the value alone."""
    text: str
    value: float | None = None
    """What was compared with the bound, in its units; None: not measured."""
    passed: bool
    reason: str | None = None
    """Why it could not be judged."""


class Metrics(Answer):
    """Measurements so far; empty before the job's first one."""

    dense: Quality | None = None
    pruned: Quality | None = None
    speed: Speed | None = None
    agreement: list[Agreement] | None = None
    """One for each data set; None if not measured."""
    sparsity: float | None = None
    """Sparsity of the pruned matrices."""
    coverage: float | None = None
    """Share of the blocks' parameters that are in pruned matrices."""
    layer_error: LayerError | None = None
    bos: BosChoice | None = None
    gates: list[GateOutcome] = Field([])
    """Empty without gates, and until the job has succeeded."""
    warnings: list[str] = Field([])
    bytes: int | None = None
    """Size of the artifact."""
    hub: HubUpload | None = None
    """None if no upload was requested."""
    seconds: dict[str, float] = Field({})
    """Duration of each stage."""
    peak_memory_bytes: dict[str, int | None] = Field({})

    def ratio(self, dataset: str | None = None) -> float:
        """Return the pruned model's perplexity divided by the dense one's; `dataset` may be left out if there is one only.

        Raises:
            NotMeasured: there is no such perplexity of both models, or several data sets were measured.
        """
        pruned = {each.dataset: each.perplexity for each in (self.pruned.perplexity if self.pruned else [])}
        dense = {each.dataset: each.perplexity for each in (self.dense.perplexity if self.dense else [])}
        both = [name for name in pruned if name in dense]
        found = [name for name in both if dataset is None or name == dataset or name.startswith(f"{dataset}:")]
        if len(found) != 1:
            known = ", ".join(both) or "nothing yet"
            problem = f"name one of the data sets: {known}" if found else f"both models were measured on {known}"
            raise NotMeasured(f"there is no single ratio of perplexities{f' on {dataset}' if dataset else ''}; {problem}")
        return pruned[found[0]] / dense[found[0]]
