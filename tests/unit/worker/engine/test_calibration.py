from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.unit.worker.engine import families
from worker.engine.architectures import take_apart
from worker.engine.calibration import Stream, record, replaced_layers
from worker.engine.loading import loaded_block

Checkpoints = Callable[[str], Path]
CPU = torch.device("cpu")


def recorded(folder: Path) -> tuple[Stream, int]:
    ticks: list[None] = []
    stream = record(take_apart(folder), families.tokens(), CPU, lambda: ticks.append(None))
    return stream, len(ticks)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_replaying_all_blocks_gives_the_states_of_the_whole_model(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr("worker.engine.calibration.TOKENS_PER_BATCH", 2 * families.LENGTH)
    arch, tokens = take_apart(checkpoint(family)), families.tokens()
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


def test_what_batches_are_handed_alike_is_kept_once(checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.calibration.TOKENS_PER_BATCH", 1)
    stream, ticks = recorded(checkpoint("gemma3"))
    assert ticks == len(stream.calls) == len(families.tokens())
    first = [call.kwargs["attention_mask"] for call in stream.calls[0]]
    for calls in stream.calls[1:]:
        assert all(call.kwargs["attention_mask"] is mask for call, mask in zip(calls, first, strict=True))


def test_only_some_families_wrap_their_states(checkpoint: Checkpoints) -> None:
    for family in ("llama", "falcon"):
        arch = take_apart(checkpoint(family))
        stream, _ = recorded(checkpoint(family))
        with loaded_block(arch, arch.blocks[0], CPU) as layer:
            call = stream.calls[0][0]
            output = layer(stream.states[0], *call.args, **call.kwargs)
        assert stream.answers_tuple == isinstance(output, tuple)


def test_stand_ins_show_what_their_layer_has_and_leave_no_trace(checkpoint: Checkpoints) -> None:
    arch = take_apart(checkpoint("gemma2"))
    real = list(arch.layers)
    with replaced_layers(arch, lambda _index: lambda *_a, **_k: None):
        assert arch.layers[1] is not real[1]
        assert arch.layers[1].self_attn is real[1].self_attn
        assert not hasattr(arch.layers[1], "no_such_thing")
    assert list(arch.layers) == real


def test_the_real_layers_are_back_after_a_failure(checkpoint: Checkpoints) -> None:
    arch = take_apart(checkpoint("gemma2"))
    real = list(arch.layers)
    with pytest.raises(ZeroDivisionError), replaced_layers(arch, lambda _index: lambda *_a, **_k: None):
        raise ZeroDivisionError
    assert list(arch.layers) == real
