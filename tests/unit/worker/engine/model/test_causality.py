"""Which supported models are causal, by a change of the last token; and the check of every run."""

from pathlib import Path

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from service.contract.checkpoints import ENCODERS, reason_against_attention
from tests.support.engine import tiny_decoders
from tests.support.engine.decoder_types import SUPPORTED
from tests.support.engine.tiny_decoders import VOCABULARY, tiny_config
from tests.support.size import sampled
from worker.engine import Recipe, sparsify
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model import meta


def sees_later_tokens(model_type: str, **config: bool) -> bool:
    """Check whether the last token changes the logits of the first."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(model_type, **config), dtype=torch.float32).eval()
    tokens = torch.randint(3, VOCABULARY, (1, 8))
    changed = tokens.clone()
    changed[0, -1] = 3 + (changed[0, -1] - 2) % (VOCABULARY - 3)
    with torch.no_grad():
        before, after = (model(input_ids=ids, use_cache=False).logits[0, 0] for ids in (tokens, changed))
    return not torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize("model_type", sampled(SUPPORTED))
def test_every_supported_decoder_is_causal(model_type: str) -> None:
    assert not sees_later_tokens(model_type)


@pytest.mark.parametrize("model_type", ["cpmant"])
def test_a_decoder_whose_prompt_is_bidirectional_is_refused(model_type: str) -> None:
    assert sees_later_tokens(model_type)
    assert model_type not in SUPPORTED


@pytest.mark.parametrize("model_type", [each for each in SUPPORTED if hasattr(CONFIG_MAPPING[each], "is_decoder")])
def test_a_supported_model_that_may_be_an_encoder_is_causal_by_its_config(model_type: str) -> None:
    assert not sees_later_tokens(model_type)
    with torch.device("meta"):
        saved = AutoModelForCausalLM.from_config(tiny_config(model_type)).config
    assert reason_against_attention(saved.to_dict()) is None


@pytest.mark.parametrize("model_type", sorted(ENCODERS))
def test_an_encoder_sees_later_tokens_and_is_refused(model_type: str) -> None:
    assert sees_later_tokens(model_type, is_decoder=False)
    assert reason_against_attention({"model_type": model_type}) is not None


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [("llama", {"is_causal": False}), ("gemma3_text", {"use_bidirectional_attention": True})],
)
def test_a_decoder_made_bidirectional_sees_later_tokens_and_is_refused(model_type: str, changes: dict[str, bool]) -> None:
    assert sees_later_tokens(model_type, **changes)
    assert reason_against_attention({"model_type": model_type, **changes}) is not None


@pytest.mark.parametrize("length", [2, 24])
@pytest.mark.parametrize(
    ("model_type", "changes"),
    [("llama", {"is_causal": False}), ("gemma3_text", {"use_bidirectional_attention": True}), ("bert", {"is_decoder": False})],
)
def test_a_block_that_sees_later_tokens_stops_the_run_whatever_its_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str, changes: dict[str, bool], length: int
) -> None:
    monkeypatch.setattr(meta, "reason_against_config", lambda _config: None)
    tiny_decoders.save(model_type, tmp_path / "source", **changes)
    tokens = torch.randint(3, VOCABULARY, (2, length), generator=torch.Generator().manual_seed(0))
    with pytest.raises(ArchitectureUnsupported, match=r"In .+\.0 tokens see later ones"):
        sparsify(tmp_path / "source", tmp_path / "target", Recipe(), tokens, device="cpu")
