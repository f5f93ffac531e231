"""Measurement of the dense model and then the pruned one on the same windows, keeping only what the comparison needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.engine import Evaluation, FinalStates, Perplexity, evaluate, final_states
from worker.evaluation.agreement import AgreementMetric
from worker.evaluation.baselines import Baselines
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.texts import EvaluationText
from worker.run.progress import EvaluationProgress


@dataclass
class _Before:
    """Measurements of the dense model on a text; the states are kept until the pruned model has been compared with them."""

    losses: Sequence[float] | None = None
    states: FinalStates | None = None


@dataclass
class DenseAndPruned:
    """Comparison of a dense and a pruned model. Call `dense` before `pruned`, or not at all.

    Both methods raise worker.engine.errors.EngineError if the model cannot be run, and JobFailure (`numerical-failure`) if a
    perplexity overflows.
    """

    texts: Sequence[EvaluationText]
    agreement_windows: int
    """Maximum number of windows of each text on which the two are compared token by token."""
    device: str
    scratch: Path
    """Folder for activations that do not fit into memory."""
    baselines: Baselines
    progress: EvaluationProgress
    agreement: list[AgreementMetric] = field(default_factory=list)
    """Agreement for each text on which the pruned model has been measured."""
    spared_tokens: int = 0
    """Tokens that did not go through the dense model, because an earlier job has measured it."""

    def __post_init__(self) -> None:
        self._before = [_Before() for _ in self.texts]

    def dense(self, path: Path) -> list[PerplexityMetric]:
        """Return a measurement for each text, from the cache if an earlier job has measured it."""
        return [self._dense(path, text, before) for text, before in zip(self.texts, self._before, strict=True)]

    def pruned(self, path: Path) -> list[PerplexityMetric]:
        """Return a measurement for each text, with its difference from the dense model's."""
        return [self._pruned(path, text, before) for text, before in zip(self.texts, self._before, strict=True)]

    def _dense(self, path: Path, text: EvaluationText, before: _Before) -> PerplexityMetric:
        keep = min(self.agreement_windows, len(text.windows))
        known = self.baselines.find(text.windows)
        if known is None:
            measured, before.states = self._measure_dense(path, text, keep)
        else:
            measured = Perplexity.of(known, text.length)
            before.states = self._take_states(path, text, keep)
        before.losses = measured.losses
        return PerplexityMetric.of(text, measured, cached=known is not None)

    def _measure_dense(self, path: Path, text: EvaluationText, keep: int) -> tuple[Perplexity, FinalStates | None]:
        found = self._evaluate(path, text, keep=keep)
        if found.is_repeatable:
            self.baselines.keep(text.windows, found.perplexity.losses)
        return found.perplexity, found.states

    def _evaluate(self, path: Path, text: EvaluationText, keep: int = 0, dense: FinalStates | None = None) -> Evaluation:
        return evaluate(
            path,
            text.windows,
            device=self.device,
            observer=self.progress,
            scratch=self.scratch,
            keep=keep,
            dense=dense,
            measured=self.progress.windows_measured,
        )

    def _take_states(self, path: Path, text: EvaluationText, keep: int) -> FinalStates | None:
        """Run only the first `keep` windows through the dense model, because its losses are cached."""
        self.spared_tokens += text.windows.numel()
        if not keep:
            self.progress.skip_evaluation()
            return None
        states = final_states(path, text.windows, keep, device=self.device, observer=self.progress, scratch=self.scratch)
        self.spared_tokens -= sum(states.sizes) * text.length
        return states

    def _pruned(self, path: Path, text: EvaluationText, before: _Before) -> PerplexityMetric:
        states, before.states = before.states, None
        found = self._evaluate(path, text, dense=states)
        if found.agreement is not None:
            self.agreement.append(AgreementMetric.of(text, found.agreement))
        return PerplexityMetric.of(text, found.perplexity, dense=before.losses)
