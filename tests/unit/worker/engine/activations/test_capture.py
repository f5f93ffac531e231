from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from service.contract.checkpoints import UNSUPPORTED
from tests.support.engine import families, tiny_decoders
from worker.engine import perplexity
from worker.engine.activations.batches import Carried, Stream
from worker.engine.activations.capture import record, replaced_layers
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.loading import loaded_block
from worker.engine.model.structure import load_structure

Checkpoints = Callable[[str], Path]
CPU = torch.device("cpu")


def recorded(folder: Path) -> tuple[Stream, int]:
    ticks: list[None] = []
    stream = record(load_structure(folder), families.tokens(), CPU, lambda: ticks.append(None))
    return stream, len(ticks)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_replaying_all_blocks_matches_the_whole_model(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", 2 * families.LENGTH)
    arch, tokens = load_structure(checkpoint(family)), families.tokens()
    stream = record(arch, tokens, CPU, lambda: None)
    assert [len(states) for states in stream.states] == [2, 2, 1]
    for index, block in enumerate(arch.blocks):
        with loaded_block(arch, block, CPU) as layer:
            stream.advance(layer, index, block.name, lambda: None)
    model = families.load(checkpoint(family))
    last, seen = model.get_submodule(arch.blocks[-1].name), []
    last.register_forward_hook(lambda _m, _a, output: seen.append(output[0] if isinstance(output, tuple) else output))
    with torch.no_grad():
        model(input_ids=tokens, use_cache=False)
    torch.testing.assert_close(torch.cat(stream.states), seen[0], rtol=1e-4, atol=1e-4)


def test_layers_of_different_kinds_get_their_own_masks(checkpoint: Checkpoints) -> None:
    stream, _ = recorded(checkpoint("gemma3"))
    sliding, full, again = (call.kwargs["attention_mask"] for call in stream.calls[0])
    assert sliding is not None
    assert full is None or not torch.equal(sliding, full)
    assert sliding is again


def test_arguments_equal_across_batches_are_stored_once(checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.device_memory.TOKENS_PER_BATCH", 1)
    stream, ticks = recorded(checkpoint("gemma3"))
    assert ticks == len(stream.calls) == len(families.tokens())
    first = [call.kwargs["attention_mask"] for call in stream.calls[0]]
    for calls in stream.calls[1:]:
        assert all(call.kwargs["attention_mask"] is mask for call, mask in zip(calls, first, strict=True))


def test_only_some_families_wrap_their_states(checkpoint: Checkpoints) -> None:
    for family in ("llama", "falcon"):
        arch = load_structure(checkpoint(family))
        stream, _ = recorded(checkpoint(family))
        with loaded_block(arch, arch.blocks[0], CPU) as layer:
            call = stream.calls[0][0]
            output = layer(stream.states[0], *call.args, **call.kwargs)
        wrapped = stream.forms[0].wrap(stream.states[0], 0)
        assert type(wrapped) is type(output)
        assert not isinstance(output, tuple) or len(wrapped) == len(output)


def test_stand_ins_have_their_layers_attributes_and_are_removed(checkpoint: Checkpoints) -> None:
    arch = load_structure(checkpoint("gemma2"))
    real = list(arch.layers)
    with replaced_layers(arch, lambda _index: lambda *_a, **_k: None):
        assert arch.layers[1] is not real[1]
        assert arch.layers[1].self_attn is real[1].self_attn
        assert not hasattr(arch.layers[1], "no_such_thing")
    assert list(arch.layers) == real


def test_the_real_layers_are_restored_after_a_failure(checkpoint: Checkpoints) -> None:
    arch = load_structure(checkpoint("gemma2"))
    real = list(arch.layers)
    with pytest.raises(ZeroDivisionError), replaced_layers(arch, lambda _index: lambda *_a, **_k: None):
        raise ZeroDivisionError
    assert list(arch.layers) == real


@pytest.mark.parametrize(
    ("model_type", "kind", "config"),
    [
        ("hrm_text", "HrmTextForCausalLM", {}),
        (
            "inkling2_text",
            "Inkling2ForCausalLM",
            {
                "n_layers_per_attn_res_block": 1,
                "num_hidden_layers": 3,
                "layer_types": ["hybrid_sliding", "hybrid", "hybrid_sliding"],
            },
        ),
    ],
)
def test_layers_that_need_more_than_the_last_output_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str, kind: str, config: dict[str, Any]
) -> None:
    """Of these two it is known; a family of which it is not known must not be replayed wrongly."""
    monkeypatch.delitem(UNSUPPORTED, kind)
    tiny_decoders.save(model_type, tmp_path, **config)
    with pytest.raises(ArchitectureUnsupported, match="Layer takes more from earlier layers"):
        recorded(tmp_path)


def test_extra_outputs_of_a_layer_reach_the_next(tmp_path: Path) -> None:
    tiny_decoders.save("hy_v4", tmp_path, indexer_types=["full", "shared"])
    arch, tokens = load_structure(tmp_path), families.tokens()
    stream = record(arch, tokens, CPU, lambda: None)
    assert any(isinstance(value, Carried) for value in stream.calls[0][1].kwargs.values())
    windows = families.tokens(samples=2)
    logits = tiny_decoders.load(tmp_path)(input_ids=windows, use_cache=False).logits
    expected = functional.cross_entropy(logits[:, :-1].transpose(1, 2), windows[:, 1:]).item()
    assert perplexity(tmp_path, windows, device="cpu").mean_nll == pytest.approx(expected, abs=1e-5)
