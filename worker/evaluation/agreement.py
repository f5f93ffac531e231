"""Agreement of a pruned model with the dense one on a data set, in reported form."""

from typing import Self

from pydantic import Field

from worker.engine import Agreement
from worker.evaluation.intervals import Mean
from worker.evaluation.perplexity import Metric
from worker.evaluation.texts import EvaluationText


class AgreementMetric(Metric):
    """Agreement of the next-token distributions. `kl_…` are KL(dense ‖ pruned), in nats per token."""

    dataset: str
    windows: int = Field(ge=1)
    tokens: int = Field(ge=1)
    kl_divergence: float = Field(ge=0)
    kl_standard_error: float | None
    """Standard error over windows, like `top1_standard_error`; None with a single window."""
    kl_p99: float = Field(ge=0)
    """99th percentile of the divergence over tokens."""
    top1_agreement: float = Field(ge=0, le=1)
    """Share of tokens for which both models predict the same most likely next token."""
    top1_standard_error: float | None

    @classmethod
    def of(cls, text: EvaluationText, found: Agreement) -> Self:
        """Summarize a measured agreement."""
        divergence, match = Mean.of(found.divergences), Mean.of(found.matches)
        return cls(
            dataset=text.dataset,
            windows=found.windows,
            tokens=found.tokens,
            kl_divergence=divergence.value,
            kl_standard_error=divergence.standard_error,
            kl_p99=found.divergence_p99,
            top1_agreement=match.value,
            top1_standard_error=match.standard_error,
        )
