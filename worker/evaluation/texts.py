"""Evaluation texts as windows of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from service.contract.datasets import dataset_of, evaluated_windows
from service.contract.provenance import BosProtocol
from service.contract.spec import EvaluationSpec
from worker.evaluation.bos import stream_and_length, with_heads
from worker.inputs.datasets import Texts
from worker.inputs.tokenization import evaluation_windows, tokenize


@dataclass(frozen=True)
class EvaluationText:
    """Windows (windows, L) of a data set, whose text is tokenised once."""

    dataset: str
    windows: Tensor
    dropped_tokens: int
    """Tokens at the end of the text that are in no window."""
    begins_with_bos: bool
    """Whether the tokenizer adds a beginning-of-sequence token at the very start."""
    bos: BosProtocol = "stream"

    @property
    def length(self) -> int:
        """Tokens per window."""
        return self.windows.shape[1]


def windows_of(
    model: Path, reference: str, documents: Sequence[str], spec: EvaluationSpec, bos: BosProtocol = "stream"
) -> EvaluationText:
    """Tokenize documents of a data set for the model at this path and cut them into windows.

    Raises:
        JobFailure: the tokenizer cannot be read or does not fit the model, or the text is shorter than one window.
    """
    known = dataset_of(reference.partition(":")[0])
    assert known is not None
    text = tokenize(model, documents, separator=known.separator)
    stream, length = stream_and_length(text, spec.sequence_length, bos)
    limit = evaluated_windows(reference, len(stream) // length, spec.max_windows)
    windows = evaluation_windows(stream, length, limit)
    dropped = len(stream) - windows.numel()
    return EvaluationText(reference, with_heads(windows, text, bos), dropped, text.begins_with_bos, bos)


def read_all(model: Path, spec: EvaluationSpec, texts: Texts, bos: BosProtocol = "stream") -> list[EvaluationText]:
    """Return every data set of `spec.perplexity` as windows; raises as `windows_of` does, or if one cannot be read."""
    return [windows_of(model, reference, texts.read(reference), spec, bos) for reference in spec.perplexity]
