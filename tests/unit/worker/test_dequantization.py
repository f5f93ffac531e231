"""Import of checkpoints with fp8 or MXFP4 weights: each value is that of the format's definition, rounded to bfloat16 once."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from service.models.outline import ModelOutline
from tests.support import checkpoints
from tests.support.altered_checkpoints import edit_config, said_by_service, said_by_worker
from tests.support.engine import tiny_decoders
from worker import engine
from worker.gguf_import import main
from worker.inputs.gguf import ImportRefused
from worker.inputs.quantised_weights import dequantise_fp8, dequantise_mxfp4
from worker.inputs.whole_models import load_whole

FP8 = torch.float8_e4m3fn
DEEPSEEK = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [16, 16], "activation_scheme": "dynamic"}
MODELOPT = {"quant_method": "modelopt", "quant_algo": "FP8"}
COMPRESSED = {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {}}
QUERY = "model.layers.0.self_attn.q_proj.weight"


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quantised(weight: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Weights in fp8 and a factor for each block of this size, the last ones of an axis smaller."""
    scale = torch.empty(-(-weight.shape[0] // rows), -(-weight.shape[1] // columns))
    stored = torch.empty(weight.shape)
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            place = slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns)
            scale[i, j] = weight[place].abs().max() / 448
            stored[place] = weight[place] / scale[i, j]
    return stored.to(FP8), scale


def by_definition(stored: Tensor, scale: Tensor, rows: int, columns: int) -> Tensor:
    """Each element times the factor of its block, in exact arithmetic."""
    values = [
        [float(stored[i, j].float().double() * scale[i // rows, j // columns].double()) for j in range(stored.shape[1])]
        for i in range(stored.shape[0])
    ]
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).to(torch.bfloat16)


def test_fp8_blocks_are_those_of_transformers() -> None:
    stored, scale = quantised(random(48, 32), 16, 16)
    expected = Fp8Dequantize(None)._dequantize_one(stored, scale, output_dtype=torch.bfloat16)
    assert torch.equal(dequantise_fp8(stored, scale, [16, 16]), expected)


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (1, 48), (48, 40), (40, 1), (16, 48)])
def test_fp8_scales_apply_to_their_part_of_a_weight(rows: int, columns: int) -> None:
    stored, scale = quantised(random(40, 48), rows, columns)
    expected = by_definition(stored, scale, rows, columns)
    assert torch.equal(dequantise_fp8(stored, scale, [rows, columns]), expected)
    if rows == 1:
        assert torch.equal(dequantise_fp8(stored, scale.flatten(), None), expected)
    if scale.numel() == 1:
        assert torch.equal(dequantise_fp8(stored, scale.reshape(()), None), expected)


def test_fp8_scales_may_be_powers_of_two() -> None:
    stored, exponents = random(32, 32).to(FP8), torch.tensor([[120, 127], [130, 110]], dtype=torch.uint8)
    expected = by_definition(stored, 2.0 ** (exponents.double() - 127), 16, 16)
    for scale in (exponents, exponents.view(torch.float8_e8m0fnu)):
        assert torch.equal(dequantise_fp8(stored, scale, [16, 16]), expected)


def test_experts_in_a_stack_have_their_own_scales() -> None:
    parts = [quantised(random(32, 16, seed=seed), 16, 16) for seed in range(3)]
    stored, scale = (torch.stack(tensors) for tensors in zip(*parts, strict=True))
    found = dequantise_fp8(stored, scale, [16, 16])
    assert all(torch.equal(found[i], dequantise_fp8(*parts[i], [16, 16])) for i in range(3))
    each = dequantise_fp8(stored, scale[:, 0, 0], None)
    assert torch.equal(each[1], by_definition(stored[1], scale[1, :1, :1], 32, 16))


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2,), (2, 2, 2)])
def test_a_scale_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImportRefused, match="does not fit"):
        dequantise_fp8(torch.zeros(64, 65).to(FP8)[:40], torch.ones(shape), [16, 16])


def test_mxfp4_is_that_of_transformers() -> None:
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(256, (2, 6, 3, 16), dtype=torch.uint8, generator=generator)
    scales = torch.randint(100, 140, (2, 6, 3), dtype=torch.uint8, generator=generator)
    assert torch.equal(dequantise_mxfp4(blocks, scales), convert_moe_packed_tensors(blocks, scales))


def store(folder: Path, config: dict[str, Any], scale_name: str, block: tuple[int, int]) -> dict[str, Tensor]:
    """Store the matrices of a llama's layers in fp8; return the values that they stand for."""
    checkpoints.save(folder)
    tensors, expected = load_file(folder / "model.safetensors"), dict[str, Tensor]()
    for name, tensor in list(tensors.items()):
        if tensor.ndim == 2 and ".layers." in name:
            tensors[name], scale = quantised(tensor, *block)
            tensors[f"{name}{scale_name}"] = scale if block != (10**6, 10**6) else scale.reshape(())
            expected[name] = by_definition(tensors[name], scale, *block)
        else:
            tensors[name] = expected[name] = tensor.bfloat16()
    stem = QUERY.removesuffix(".weight")
    tensors |= {f"{stem}.input_scale": torch.ones(()), f"{stem}.k_scale": torch.ones(())}
    (folder / "model.safetensors").unlink()
    shards: dict[str, dict[str, Tensor]] = {"a.safetensors": {}, "b.safetensors": {}}
    for name, tensor in tensors.items():  # the scales of a weight in another shard than the weight
        shards["b.safetensors" if "scale" in name or "norm" in name else "a.safetensors"][name] = tensor
    for shard, part in shards.items():
        save_file(part, folder / shard, {"format": "pt"})
    weight_map = {name: shard for shard, part in shards.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    edit_config(folder, quantization_config=config, dtype="bfloat16")
    return expected


def accepted(folder: Path) -> None:
    assert isinstance(said_by_service(folder), ModelOutline)
    assert isinstance(said_by_worker(folder), engine.Outline)


@pytest.mark.parametrize(
    ("config", "scale_name", "block"),
    [
        (DEEPSEEK, "_scale_inv", (16, 16)),
        (MODELOPT, "_scale", (10**6, 10**6)),
        (COMPRESSED, "_scale", (1, 10**6)),
    ],
)
def test_an_fp8_checkpoint_becomes_a_plain_one(
    tmp_path: Path, config: dict[str, Any], scale_name: str, block: tuple[int, int]
) -> None:
    source, target = tmp_path / "source", tmp_path / "root" / "tiny"
    expected = store(source, config, scale_name, block)
    (source / "hf_quant_config.json").write_text("{}")
    for reason in (said_by_service(source), said_by_worker(source)):
        assert "dsnot models import --dequantize" in str(reason)
    assert [main([str(source), str(target), "--dequantize"]) for _ in range(2)] == [0, 0]
    assert main([str(source), str(target)]) == 2  # another import than that of the quantised weights

    accepted(target)
    state = load_whole(target).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}
    assert "quantization_config" not in json.loads((target / "config.json").read_text())
    assert not (target / "hf_quant_config.json").exists()
    assert (target / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_an_mxfp4_checkpoint_becomes_a_plain_one(tmp_path: Path) -> None:
    source, target, expected = tmp_path / "source", tmp_path / "target", dict[str, Tensor]()
    tiny_decoders.save("gpt_oss", source)
    generator = torch.Generator().manual_seed(0)
    for path in source.glob("*.safetensors"):
        tensors = load_file(path)
        for name in [name for name, tensor in tensors.items() if tensor.ndim == 3]:
            experts, inputs, outputs = tensors.pop(name).shape
            blocks = torch.randint(256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8, generator=generator)
            scales = torch.randint(120, 125, blocks.shape[:3], dtype=torch.uint8, generator=generator)
            tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
            expected[name] = convert_moe_packed_tensors(blocks, scales)
        save_file(tensors, path, {"format": "pt"})
    write_index(source)
    edit_config(source, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": []})
    assert main([str(source), str(target), "--dequantize"]) == 0

    accepted(target)
    state = load_whole(target).state_dict()
    assert expected
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def write_index(folder: Path) -> None:
    weight_map = {name: path.name for path in sorted(folder.glob("*.safetensors")) for name in load_file(path)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "without --dequantize"),
        (
            {QUERY: torch.zeros(32, 32).to(FP8), f"{QUERY}_scale": torch.ones(()), "x.weight": torch.zeros(2, 2).to(FP8)},
            "without a scale",
        ),
        (
            {QUERY: torch.zeros(32, 32).to(FP8), f"{QUERY}_scale": torch.ones(()), "x.qweight": torch.zeros(2, 2).int()},
            "x.qweight",
        ),
        ({QUERY: torch.zeros(32, 32).to(FP8), f"{QUERY}_scale": torch.ones(()).int()}, "no factor"),
        ({"x_blocks": torch.zeros(1, 2, 1, 8).byte(), "x_scales": torch.zeros(1, 2, 1).byte()}, "MXFP4"),
    ],
)
def test_other_formats_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Tensor], words: str
) -> None:
    checkpoints.save(tmp_path / "source")
    path = tmp_path / "source" / "model.safetensors"
    save_file(load_file(path) | changes, path, {"format": "pt"})
    assert main([str(tmp_path / "source"), str(tmp_path / "target"), "--dequantize"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "target").exists()
