"""What the service answers about what was measured of a job. What a service does not tell, older or newer, is None or missing."""

from pydantic import Field

from service.client.answers import Answer


class LossDifference(Answer):
    """What pruning adds to the loss, in nats per token, window by window."""

    mean: float
    standard_error: float | None = None
    ci95: tuple[float, float] | None = None


class Perplexity(Answer):
    """One measurement. Intervals are of 95 %, by the spread over windows; None with a single window."""

    dataset: str
    perplexity: float
    ci95: tuple[float, float] | None = None
    mean_nll: float
    """Nats per token."""
    standard_error: float | None = None
    """Of `mean_nll`."""
    tokens: int
    windows: int
    sequence_length: int | None = None
    dropped_tokens: int = 0
    """At the end of the text, that are in no window."""
    begins_with_bos: bool = False
    """Whether the tokenizer put a beginning-of-sequence token at the start of the text; no window gets one of its own."""
    loss_difference: LossDifference | None = None
    """Of a pruned model, where the dense one was measured."""
    cached: bool = False
    """An earlier job has measured it, with the same bits."""


class Agreement(Answer):
    """Of the pruned model's distributions of the next token with the dense one's; errors are standard errors over windows."""

    dataset: str
    windows: int
    tokens: int
    kl_divergence: float
    """KL(dense ‖ pruned), nats per token."""
    kl_standard_error: float | None = None
    kl_p99: float
    """At 99 % of the tokens it is at most that."""
    top1_agreement: float
    """Share of the tokens at which the likeliest next token is the same."""
    top1_standard_error: float | None = None


class MetricValue(Answer):
    value: float
    standard_error: float | None = None


class TaskResult(Answer):
    """One zero-shot task, or one group of tasks together."""

    task: str
    version: str | None = None
    samples: int
    few_shot: int
    metrics: dict[str, MetricValue]
    """By the harness's names: acc, acc_norm, …"""
    harness: str
    """Version of lm-evaluation-harness."""


class Quality(Answer):
    """What was measured of one checkpoint."""

    perplexity: list[Perplexity] = Field([])
    tasks: list[TaskResult] = Field([])


class Throughput(Answer):
    """Tokens per second: the median of some measurements, the slowest and the fastest."""

    median: float
    lowest: float
    highest: float
    times: int


class ModelSpeed(Answer):
    """How fast one model reads (`prefill`) and writes (`decode`) text, one sequence at a time, and what memory it takes."""

    prefill: Throughput
    decode: Throughput
    dtype: str
    weight_bytes: int
    peak_bytes: int
    """On the device, or of the process on a CPU."""
    sparse_matrices: int = 0
    """That went through kernels that make use of zeros."""


class Speed(Answer):
    """Measured on the job's device; None is what was not, and `why_not` says why."""

    device: str
    threads: int
    prompt_tokens: int
    new_tokens: int
    dense: ModelSpeed | None = None
    pruned: ModelSpeed | None = None
    sparse: ModelSpeed | None = None
    """The pruned model with kernels for 2:4."""
    why_not: str | None = None


class LayerError(Answer):
    """The relative error of all pruned matrices together, by how far pruning has come."""

    start: float
    mask: float | None = None
    final: float


class HubUpload(Answer):
    """What became of the upload to a repository of the hub: `commit_url`, or `error`."""

    repo: str
    branch: str
    commit: str | None = None
    commit_url: str | None = None
    error: str | None = None


class Metrics(Answer):
    """What is measured so far; nothing before the job's first measurement."""

    dense: Quality | None = None
    pruned: Quality | None = None
    speed: Speed | None = None
    agreement: list[Agreement] | None = None
    """One for each data set; None where it was not measured."""
    sparsity: float | None = None
    """Of the matrices that were pruned."""
    coverage: float | None = None
    """Share of the blocks' parameters that lie in such matrices."""
    layer_error: LayerError | None = None
    warnings: list[str] = Field([])
    bytes: int | None = None
    """Of the artifact."""
    hub: HubUpload | None = None
    """None where none was asked for."""
    seconds: dict[str, float] = Field({})
    """Of each stage."""
    peak_memory_bytes: dict[str, int | None] = Field({})
