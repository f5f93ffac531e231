"""Windows of tokens, held against plain Python on a stream that is known."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from service.contract.failures import FailureCode
from tests.support import checkpoints
from worker.failures import JobFailure
from worker.inputs.datasets import read_text
from worker.inputs.tokenization import (
    calibration_windows,
    evaluation_windows,
    load_tokenizer,
    token_counts,
    token_stream,
    tokenize,
    vocabulary_size,
)


def test_documents_are_joined_by_two_newlines_into_one_stream() -> None:
    documents = ["one", "", "zwei ä"]

    stream = token_stream(checkpoints.tokenizer(), documents)

    assert stream.dtype == torch.int64
    assert len(stream) == len("\n\n".join(documents).encode())
    assert checkpoints.tokenizer().decode(stream.tolist()) == "one\n\n\n\nzwei ä"


def test_a_bos_token_is_added_once_at_the_start() -> None:
    stream = token_stream(checkpoints.tokenizer(adds_bos=True), ["abc", "def"])

    assert stream[0] == checkpoints.BOS
    assert int((stream == checkpoints.BOS).sum()) == 1


def test_a_tokenizer_with_ids_beyond_the_vocabulary_is_refused() -> None:
    assert len(token_stream(checkpoints.tokenizer(), ["abc"], vocab_size=len(checkpoints.VOCABULARY))) == 3

    with pytest.raises(JobFailure, match="does not fit") as caught:
        token_stream(checkpoints.tokenizer(), ["abc"], vocab_size=10)

    assert caught.value.code is FailureCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (None, "", ["no file of a tokenizer", "tokenizer.json"]),
        ("tokenizer_config.json", '{"tokenizer_class": "Qwen2Tokenizer"}', ["no file of a tokenizer"]),
        ("tekken.json", '{"config": {}}', ["tekken.json", "mistral-common", "tokenizer.json"]),
        ("qwen.tiktoken", "YQ== 0", ["tiktoken", "tokenizer.json"]),
        ("tokenizer.json", "{", ["cannot be read", "tokenizer.json"]),
    ],
)
def test_a_missing_tokenizer_or_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, content: str, words: list[str]
) -> None:
    monkeypatch.setattr("worker.inputs.tokenization.find_spec", lambda _module: None)
    checkpoints.config().save_pretrained(tmp_path)
    if name:
        (tmp_path / name).write_text(content)
    with pytest.raises(JobFailure) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code is FailureCode.MODEL_UNSAFE
    assert all(word in caught.value.detail for word in words), caught.value.detail
    assert len(caught.value.detail) < 300


def test_a_tokenizer_of_bytes_needs_no_file(tmp_path: Path) -> None:
    checkpoints.config().save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    assert len(load_tokenizer(tmp_path)("abc")["input_ids"]) == 4


def test_calibration_matches_the_reference_positions() -> None:
    stream = torch.arange(1000) * 3
    random.seed(7)
    starts = [random.randint(0, 1000 - 33) for _ in range(5)]

    windows = calibration_windows(stream, 5, 32, seed=7)

    assert windows.tolist() == [list(range(3 * start, 3 * (start + 32), 3)) for start in starts]


def test_a_stream_one_token_too_short_is_refused_with_numbers() -> None:
    assert calibration_windows(torch.arange(320), 10, 32, seed=0).shape == (10, 32)

    with pytest.raises(JobFailure) as caught:
        calibration_windows(torch.arange(319), 10, 32, seed=0)

    assert caught.value.code is FailureCode.NOT_ENOUGH_CALIBRATION_DATA
    assert all(number in caught.value.detail for number in ("320", "319", "num_samples to at most 9"))
    assert calibration_windows(torch.arange(319), 9, 32, seed=0).shape == (9, 32)


@pytest.mark.parametrize("length", [0, 1, 31, 32])
def test_a_stream_shorter_than_one_sample_suggests_a_shorter_one(length: int) -> None:
    with pytest.raises(JobFailure, match="shorter sequence_length"):
        calibration_windows(torch.arange(length), 1, 32, seed=0)


def test_evaluation_windows_are_disjoint_and_drop_the_remainder() -> None:
    stream = torch.arange(107)

    assert torch.equal(evaluation_windows(stream, 10, None).flatten(), stream[:100])
    assert evaluation_windows(stream, 10, 3).tolist() == [list(range(start, start + 10)) for start in (0, 10, 20)]
    assert evaluation_windows(stream, 10, 99).shape == (10, 10)


def test_a_text_shorter_than_one_evaluation_window_is_refused() -> None:
    with pytest.raises(JobFailure, match=r"107 tokens.*108") as caught:
        evaluation_windows(torch.arange(107), 108, None)

    assert caught.value.code is FailureCode.INVALID_REQUEST


def test_a_saved_tokenizer_gives_equal_tokens(tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path / "model")

    assert vocabulary_size(folder) == len(checkpoints.VOCABULARY)
    assert load_tokenizer(folder)("abc")["input_ids"] == checkpoints.tokenizer()("abc")["input_ids"]
    assert len(tokenize(folder, read_text("c4-sample:test", tmp_path)).stream) > 100_000


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    checkpoints.build().save_pretrained(tmp_path)

    with pytest.raises(JobFailure) as caught:
        load_tokenizer(tmp_path)

    assert caught.value.code is FailureCode.MODEL_UNSAFE
    assert str(tmp_path) not in caught.value.detail


@pytest.mark.parametrize("use", [tokenize, token_counts])
def test_a_tokenizer_that_makes_its_library_panic_is_refused(
    tmp_path: Path, use: Callable[[Path, Sequence[str]], object]
) -> None:
    folder = checkpoints.with_panicking_tokenizer(tmp_path / "model")

    with pytest.raises(JobFailure) as caught:
        use(folder, ["abc"])

    assert caught.value.code is FailureCode.MODEL_UNSAFE
    assert "tokenizer" in caught.value.detail


def test_the_tokens_of_each_text_are_counted_without_special_ones(tmp_path: Path) -> None:
    checkpoints.tokenizer(adds_bos=True).save_pretrained(tmp_path)

    assert token_counts(tmp_path, ["abc", "", *["de"] * 1000]) == [3, 0, *[2] * 1000]


def test_a_tokenized_text_says_whether_it_begins_with_bos(tmp_path: Path) -> None:
    checkpoints.tokenizer(adds_bos=True).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")

    text = tokenize(tmp_path, ["abc", "de"], separator=" ")

    assert (int(text.stream[0]), len(text.stream), text.begins_with_bos) == (checkpoints.BOS, 7, True)
