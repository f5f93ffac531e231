"""Prompts of a job as tokens, and tokens as text. Tokenizers and chat templates are untrusted and run in a limited child."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.contract.failures import FailureCode
from service.contract.provenance import BosProtocol
from service.contract.samples import SamplesSpec
from worker.failures import JobFailure
from worker.inputs.tokenization import load_tokenizer, vocabulary_size
from worker.process.limited_child import run_limited

_SUBJECT: Final = "The model's tokenizer"
_MOST: Final = 2000
"""Characters of a continuation that are reported."""


@dataclass(frozen=True)
class Prompts:
    """Prompts that a job continues."""

    texts: Sequence[str]
    tokens: Sequence[Sequence[int]]
    new_tokens: Sequence[int]
    """Maximum length of each continuation: the requested one, or what the model's context leaves."""
    spec: SamplesSpec


def open_prompts(path: Path, spec: SamplesSpec, *, context: int | None, bos: BosProtocol) -> Prompts:
    """Tokenize the prompts; they begin with a BOS if the tokenizer adds one, or windows have one.

    Raises:
        JobFailure: `invalid-request`: the chat template is missing or fails, or a prompt does not fit into the model's
            `context`; `model-unsafe`: the tokenizer cannot be used.
    """
    tokens = run_limited(lambda: _tokenized(path, spec, bos), _SUBJECT, FailureCode.MODEL_UNSAFE)
    room = [spec.max_new_tokens if context is None else min(spec.max_new_tokens, context - len(each)) for each in tokens]
    for place, (each, left) in enumerate(zip(tokens, room, strict=True)):
        if left < 1 or not each:
            fault = f"has {len(each)} tokens, and the model takes {context} with the continuation" if each else "has no tokens"
            advice = "give another one" if spec.prompts is not None else "set evaluation.samples to null"
            raise JobFailure(FailureCode.INVALID_REQUEST, f"evaluation.samples: prompt {place + 1} {fault}; {advice}.")
    return Prompts(spec.texts, tokens, room, spec)


def _tokenized(path: Path, spec: SamplesSpec, bos: BosProtocol) -> list[list[int]]:
    tokenizer, size = load_tokenizer(path), vocabulary_size(path)
    found = []
    for text in spec.texts:
        ids = tokenizer(_as_chat(tokenizer, text), add_special_tokens=False) if spec.chat else tokenizer(text)
        tokens = _without_end(list(ids["input_ids"]), tokenizer.eos_token_id)
        begin = tokenizer.bos_token_id
        if bos == "window" and begin is not None and tokens[:1] != [begin]:
            tokens = [begin, *tokens]
        if size is not None and tokens and max(tokens) >= size:
            detail = f"The model's tokenizer does not fit it: id {max(tokens)}, but the vocabulary has {size} entries."
            raise JobFailure(FailureCode.INVALID_REQUEST, detail)
        found.append(tokens)
    return found


def _without_end(tokens: list[int], end: int | None) -> list[int]:
    """Remove an end-of-text token that some tokenizers append, after which a model begins another text."""
    return tokens[:-1] if len(tokens) > 1 and tokens[-1] == end else tokens


def _as_chat(tokenizer: Any, text: str) -> str:
    if not tokenizer.chat_template:
        raise _refusal("the model's tokenizer has no chat template")
    try:
        asked = [{"role": "user", "content": text}]
        rendered: str = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    except MemoryError:
        raise
    except Exception as error:  # any error that a template causes
        raise _refusal(f"the model's chat template fails ({type(error).__name__})") from error
    return rendered


def _refusal(why: str) -> JobFailure:
    return JobFailure(FailureCode.INVALID_REQUEST, f"evaluation.samples.chat is true, but {why}; set it to false.")


def decode(path: Path, prompts: Prompts, tokens: Sequence[Sequence[Sequence[int]]]) -> list[list[str]]:
    """Return the text of each model's continuations, without the prompt and with at most 2,000 characters."""

    def run() -> list[list[str]]:
        tokenizer = load_tokenizer(path)
        return [[_text(tokenizer, before, after) for before, after in zip(prompts.tokens, of, strict=True)] for of in tokens]

    return run_limited(run, _SUBJECT, FailureCode.MODEL_UNSAFE)


def _text(tokenizer: Any, prompt: Sequence[int], new: Sequence[int]) -> str:
    """Return the text that the new tokens add: some tokenizers drop a space at the beginning of a text."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    head, whole = (tokenizer.decode(ids, **options) for ids in (list(prompt), [*prompt, *new]))
    text = whole[len(head) :] if whole.startswith(head) else tokenizer.decode(list(new), **options)
    return "".join(map(_storable, text[:_MOST]))


def _storable(sign: str) -> str:
    """Replace control characters and lone surrogates, which databases and terminals do not take."""
    is_odd = unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t"
    return "\N{REPLACEMENT CHARACTER}" if is_odd else sign
