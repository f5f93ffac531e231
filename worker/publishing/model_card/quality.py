"""Section of the model card on quality: perplexity before and after, its confidence interval, and agreement of the models."""

from collections.abc import Sequence
from typing import Final

from worker.evaluation.agreement import AgreementMetric
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.quality import Measured, Quality
from worker.publishing.model_card.markdown import plain

_PROTOCOL: Final = (
    "Windows do not overlap, the remainder at the end is dropped, and the text is tokenised once; {bos}. "
    "Brackets are 95 % confidence intervals from the spread over windows; the loss is in nats per token, and its difference is "
    "taken window by window."
)
_AGREEMENT: Final = (
    "How the next-token distributions agree with the dense model's: KL(dense ‖ pruned) in nats per token, and how often the "
    "most likely token is the same; ± is the standard error over windows."
)


def perplexity_section(quality: Quality) -> str:
    """Return the section as Markdown; empty if nothing was measured."""
    dense, pruned = quality.dense or Measured(), quality.pruned or Measured()
    if not pruned.perplexity:
        return ""
    parts = [_perplexities(dense.perplexity, pruned.perplexity), _PROTOCOL.format(bos=_bos(pruned.perplexity))]
    if quality.agreement:
        parts += [_AGREEMENT, _agreements(quality.agreement)]
    return "\n\n".join(parts)


def _bos(pruned: Sequence[PerplexityMetric]) -> str:
    if any(metric.bos == "window" for metric in pruned):
        return "every window has a beginning-of-sequence token at its head"
    at_start = any(metric.begins_with_bos for metric in pruned)
    only = "; the tokenizer adds one at the very start" if at_start else ""
    return f"no window gets a beginning-of-sequence token of its own{only}"


def _perplexities(dense: Sequence[PerplexityMetric], pruned: Sequence[PerplexityMetric]) -> str:
    """Return a table with a row for each data set, by which the dense model's measurements are matched."""
    known = {metric.dataset: with_reach(metric) for metric in dense}
    rows = ["| data set | windows | dense perplexity | pruned perplexity | loss, pruned − dense |", "|---|---|---|---|---|"]
    for metric in pruned:
        size = f"{metric.windows} × {metric.sequence_length} tokens"
        cells = [plain(metric.dataset), size, known.get(metric.dataset, "not measured"), with_reach(metric), _difference(metric)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def with_reach(metric: PerplexityMetric) -> str:
    """Return the perplexity with its interval: `20.5000 (19.80 to 21.23)`."""
    interval = metric.ci95 and f" ({metric.ci95[0]:.2f} to {metric.ci95[1]:.2f})"
    return f"{metric.perplexity:.4f}{interval or ''}"


def _difference(metric: PerplexityMetric) -> str:
    found = metric.loss_difference
    if found is None:
        return "not measured"
    interval = found.ci95 and f" ({found.ci95[0]:+.4f} to {found.ci95[1]:+.4f})"
    return f"{found.mean:+.4f}{interval or ''}"


def _agreements(metrics: Sequence[AgreementMetric]) -> str:
    rows = [
        "| data set | tokens | KL divergence | 99th percentile over tokens | same most likely token |",
        "|---|---|---|---|---|",
    ]
    for metric in metrics:
        divergence = f"{metric.kl_divergence:.4f}{_error(metric.kl_standard_error, '.4f')}"
        same = f"{metric.top1_agreement:.2%}{_error(metric.top1_standard_error, '.2%')}"
        rows.append(f"| {plain(metric.dataset)} | {metric.tokens:,} | {divergence} | {metric.kl_p99:.4f} | {same} |")
    return "\n".join(rows)


def _error(error: float | None, digits: str) -> str:
    return "" if error is None else f" ± {error:{digits}}"
