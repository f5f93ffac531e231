"""Beginning-of-sequence tokens: none per window, or one at the head of each; `auto` takes what gives the lower dense loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.contract.failures import FailureCode
from service.contract.spec import Bos, EvaluationSpec
from tests.support import checkpoints
from worker.engine import evaluate
from worker.evaluation.bos import BosChoice, choose, stream_and_length, with_heads
from worker.evaluation.texts import windows_of
from worker.failures import JobFailure
from worker.inputs.tokenization import TokenizedText, calibration_windows, tokenize

BOS = checkpoints.BOS
TEXT = TokenizedText(torch.tensor([BOS, *range(40)]), begins_with_bos=True, bos=BOS)
PLAIN = TokenizedText(torch.arange(40), begins_with_bos=False, bos=BOS)


def chosen(text: TokenizedText = TEXT, calibration: Bos = "auto", evaluation: Bos = "auto", losses: Any = None) -> BosChoice:
    return choose(text, calibration=calibration, evaluation=evaluation, longest=8, losses=losses)


def lower_with_bos(windows: Tensor) -> Tensor:
    return torch.where(windows[:, 0] == BOS, 1.0, 2.0)


def test_auto_takes_what_the_dense_model_does_better_with() -> None:
    assert chosen(losses=lower_with_bos) == BosChoice("window", "window", 1.0, 2.0)
    assert chosen(losses=lambda windows: -lower_with_bos(windows)) == BosChoice("stream", "stream", -1.0, -2.0)
    assert chosen(losses=lambda windows: torch.ones(len(windows))) == BosChoice("stream", "stream", 1.0, 1.0)
    assert chosen(losses=lower_with_bos, evaluation="stream") == BosChoice("window", "stream", 1.0, 2.0)


def test_auto_measures_the_same_text_both_ways() -> None:
    seen: list[Tensor] = []

    def losses(windows: Tensor) -> Tensor:
        seen.append(windows)
        return lower_with_bos(windows)

    chosen(losses=losses)
    [windows] = seen
    headed, plain = windows[:4], windows[4:]
    assert headed.tolist() == [[BOS, *range(start, start + 7)] for start in (0, 7, 14, 21)]
    assert plain.tolist() == [list(range(start, start + 8)) for start in (0, 7, 14, 21)]


@pytest.mark.parametrize(
    ("text", "calibration", "evaluation"),
    [(PLAIN, "auto", "auto"), (TEXT, "stream", "window"), (TokenizedText(torch.tensor([BOS, 1, 2]), True, BOS), "auto", "auto")],
)
def test_nothing_is_measured_where_that_decides_nothing(text: TokenizedText, calibration: Bos, evaluation: Bos) -> None:
    def losses(_: Tensor) -> Tensor:
        raise AssertionError

    found = chosen(text, calibration, evaluation, losses)
    assert found == BosChoice("stream", "window" if evaluation == "window" else "stream")


def test_a_model_without_a_head_is_calibrated_by_the_papers_protocol() -> None:
    assert chosen(losses=None) == BosChoice("stream", "stream")


@pytest.mark.parametrize("part", ["calibration", "evaluation"])
def test_a_bos_that_the_tokenizer_lacks_is_refused(part: str) -> None:
    parts: dict[str, Any] = {part: "window"}
    with pytest.raises(JobFailure) as caught:
        chosen(TokenizedText(torch.arange(40), begins_with_bos=False), **parts)
    assert caught.value.code is FailureCode.INVALID_REQUEST
    assert f"{part}.bos is window" in caught.value.detail


@pytest.mark.parametrize("text", [TEXT, PLAIN])
def test_calibration_windows_get_one_at_the_head_and_none_within(text: TokenizedText) -> None:
    stream, length = stream_and_length(text, 8, "window")
    windows = with_heads(calibration_windows(stream, 4, length, seed=0), text, "window")
    assert windows.shape == (4, 8)
    assert (windows == BOS).nonzero().tolist() == [[sample, 0] for sample in range(4)]
    for window in windows:
        assert window[1:].tolist() == list(range(int(window[1]), int(window[1]) + 7))


def test_evaluation_windows_cover_the_text_once(tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path)
    spec = EvaluationSpec(perplexity=["c4-sample"], sequence_length=8)
    for adds_bos in (False, True):
        checkpoints.tokenizer(adds_bos=adds_bos).save_pretrained(folder)
        text = windows_of(folder, "c4-sample:test", ["abcdefghijklmnopq"], spec, "window")
        letters = checkpoints.tokenizer()("abcdefghijklmn")["input_ids"]
        assert text.windows.tolist() == [[BOS, *letters[:7]], [BOS, *letters[7:]]]
        assert (text.bos, text.dropped_tokens, text.begins_with_bos) == ("window", 3, adds_bos)


def test_a_model_that_rests_on_bos_gets_one(tmp_path: Path) -> None:
    folder = checkpoints.save_resting_on_bos(tmp_path)
    text = tokenize(folder, ["abcd" * 30])

    def losses(windows: Tensor) -> Tensor:
        return torch.tensor(evaluate(folder, windows, device="cpu").perplexity.losses)

    found = choose(text, calibration="auto", evaluation="auto", longest=24, losses=losses)
    assert (found.calibration, found.evaluation) == ("window", "window")
    assert found.loss_window is not None
    assert found.loss_stream is not None
    assert found.loss_window + 1 < found.loss_stream
