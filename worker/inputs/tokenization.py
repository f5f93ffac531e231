"""Tokenization of texts into windows, by the field's protocol.

A data set's documents are joined by two newlines, as is usual for WikiText-2, except that C4 is joined by spaces for
evaluation, as is usual there. The whole text is tokenised once with the tokenizer's defaults: if it adds a
beginning-of-sequence token (BOS), that is once, at the very start. By the papers' protocol no window gets one of its own; models
such as Gemma are useless without, so that windows can be cut for one at the head of each.

A tokenizer is untrusted: it is loaded and run in a child with limits.
"""

import json
import random
from collections.abc import Sequence, Set
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from service.contract.checkpoint_files import reason_against_tokenizer
from service.contract.failures import FailureCode
from worker.failures import JobFailure
from worker.process.limited_child import Limits, run_limited

_OF_BYTES = {"ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"}
"""Tokenizers without files."""
_LIBRARIES = {
    "tekken.json": ("mistral-common", "mistral_common"),
    ".tiktoken": ("tiktoken", "tiktoken"),
    "tiktoken.model": ("tiktoken", "tiktoken"),
}
"""File → name of the library that reads it, and its module."""
DOCUMENT_SEPARATOR = "\n\n"
_SUBJECT: Final = "The model's tokenizer"
_BYTES_PER_CHARACTER: Final = 400
"""Memory for a character of text; a byte-level tokenizer of 49,152 entries took 170 bytes."""
_SECONDS_PER_MILLION: Final = 60
"""Processor time for a million characters; a fast tokenizer took 1.4 s."""
_AT_A_TIME: Final = 1000  # texts


@dataclass(frozen=True)
class TokenizedText:
    """Text as one stream of ids, int64 (tokens,)."""

    stream: Tensor
    begins_with_bos: bool
    """Whether the tokenizer adds a beginning-of-sequence token at the very start."""
    bos: int | None = None
    """Id of the tokenizer's beginning-of-sequence token."""

    @property
    def content(self) -> Tensor:
        """The stream without the token that the tokenizer adds at the very start."""
        return self.stream[1:] if self.begins_with_bos else self.stream


def load_tokenizer(path: Path) -> Any:
    """Load the tokenizer of a checkpoint folder, from its files alone.

    Raises:
        JobFailure: `model-unsafe`: no tokenizer can be read without the model's own code.
    """
    from transformers import AutoTokenizer

    reason = reason_against_tokenizer(names := {file.name for file in path.iterdir()})
    if reason and _tokenizer_class(path) not in _OF_BYTES:  # transformers would return one that knows no tokens
        raise JobFailure(FailureCode.MODEL_UNSAFE, reason)
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except MemoryError:
        raise
    except Exception as error:  # transformers raises what its many tokenizers raise
        raise JobFailure(FailureCode.MODEL_UNSAFE, _why_unreadable(names)) from error


def _tokenizer_class(path: Path) -> Any:
    try:
        return json.loads((path / "tokenizer_config.json").read_bytes()).get("tokenizer_class")
    except (OSError, ValueError, RecursionError, AttributeError):
        return None


def _why_unreadable(names: Set[str]) -> str:
    """Return why a tokenizer with these files cannot be read: the library that the worker lacks, if it is known."""
    for file, (library, module) in _LIBRARIES.items():
        if "tokenizer.json" not in names and any(name.endswith(file) for name in names) and find_spec(module) is None:
            return f"The model's tokenizer is in {file}, for which the worker lacks {library}; install it, or add tokenizer.json."
    return "The model's tokenizer cannot be read from its files without code of its own; add a valid tokenizer.json."


def vocabulary_size(path: Path) -> int | None:
    """Return the rows of the model's embedding per its config.json (composite models: its `text_config`); None if not stated."""
    config = json.loads((path / "config.json").read_bytes())
    text_config = config.get("text_config")
    size = config.get("vocab_size") or (text_config.get("vocab_size") if isinstance(text_config, dict) else None)
    return size if isinstance(size, int) else None


def token_stream(
    tokenizer: Any, documents: Sequence[str], *, vocab_size: int | None = None, separator: str = DOCUMENT_SEPARATOR
) -> Tensor:
    """Return all documents as one stream of ids, int64 (tokens,).

    Raises:
        JobFailure: `invalid-request`: the tokenizer returns ids that a model of `vocab_size` has no embedding for.
    """
    ids = tokenizer(separator.join(documents), verbose=False)["input_ids"]
    stream = torch.tensor(ids, dtype=torch.int64)
    if vocab_size is not None and len(stream) and int(stream.max()) >= vocab_size:
        detail = f"The model's tokenizer does not fit it: id {int(stream.max())}, but the vocabulary has {vocab_size} entries."
        raise JobFailure(FailureCode.INVALID_REQUEST, detail)
    return stream


def tokenize(path: Path, documents: Sequence[str], *, separator: str = DOCUMENT_SEPARATOR) -> TokenizedText:
    """Return the documents as tokens of the model at `path`.

    Raises:
        JobFailure: as `load_tokenizer` and `token_stream`, or `model-unsafe`: the tokenizer crashes or exceeds the limits.
    """

    def run() -> tuple[Any, int | None]:
        tokenizer = load_tokenizer(path)
        stream = token_stream(tokenizer, documents, vocab_size=vocabulary_size(path), separator=separator)
        return stream.numpy(), tokenizer.bos_token_id

    ids, bos = run_limited(run, _SUBJECT, FailureCode.MODEL_UNSAFE, _limits(documents))
    return TokenizedText(torch.from_numpy(ids), len(ids) > 0 and int(ids[0]) == bos, bos)


def headed(windows: Tensor, bos: int) -> Tensor:
    """Return the windows (windows, L) with BOS at the head of each, int64 (windows, L + 1)."""
    return torch.cat([torch.full_like(windows[:, :1], bos), windows], dim=1)


def _limits(texts: Sequence[str]) -> Limits:
    length = sum(map(len, texts))
    return Limits(Limits.memory + _BYTES_PER_CHARACTER * length, Limits.seconds + _SECONDS_PER_MILLION * length // 10**6)


def token_counts(path: Path, texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text, without special tokens. Raises as `tokenize`."""

    def run() -> list[int]:
        tokenizer = load_tokenizer(path)
        batches = (texts[start : start + _AT_A_TIME] for start in range(0, len(texts), _AT_A_TIME))
        given = (tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"] for batch in batches)
        return [len(ids) for batch in given for ids in batch]

    return run_limited(run, _SUBJECT, FailureCode.MODEL_UNSAFE, _limits(texts))


def calibration_windows(stream: Tensor, num_samples: int, sequence_length: int, seed: int) -> Tensor:
    """Return windows at random positions, int64 (samples, tokens); the same seed gives the same windows on every machine.

    They are drawn with replacement and may overlap, as in the released code of Wanda and DSnoT.

    Raises:
        JobFailure: `not-enough-calibration-data`: the stream is shorter than all windows together.
    """
    needed = max(num_samples * sequence_length, sequence_length + 1)
    if len(stream) < needed:
        fitting = max(len(stream) - 1, 0) // sequence_length
        advice = f"set num_samples to at most {fitting}, or" if fitting else "set a shorter sequence_length, or"
        detail = (
            f"{num_samples} samples of {sequence_length} tokens need {needed} tokens, and the calibration text has "
            f"{len(stream)}; {advice} take a larger data set."
        )
        raise JobFailure(FailureCode.NOT_ENOUGH_CALIBRATION_DATA, detail)
    draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
    starts = [draw.randint(0, len(stream) - sequence_length - 1) for _ in range(num_samples)]
    return torch.stack([stream[start : start + sequence_length] for start in starts])


def evaluation_windows(stream: Tensor, sequence_length: int, max_windows: int | None) -> Tensor:
    """Cut the stream into non-overlapping windows, int64 (windows, tokens); the remainder at the end is dropped.

    Raises:
        JobFailure: `invalid-request`: the text is shorter than one window.
    """
    windows = len(stream) // sequence_length
    if not windows:
        detail = (
            f"The evaluation text has {len(stream)} tokens, fewer than one window of {sequence_length}; "
            "set a shorter sequence_length, or take a larger data set."
        )
        raise JobFailure(FailureCode.INVALID_REQUEST, detail)
    cut = stream[: windows * sequence_length].view(windows, sequence_length)
    return cut[:max_windows].contiguous()
