"""Whole models with sparse matrices, against the same checkpoint loaded dense."""

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from dsnot_runtime import SparseConfig, SparseWeight, kernels
from dsnot_runtime.errors import BadConfig, NotFinite, NotSparse, ReadOnly

Save = Callable[..., Path]

SPARSE = {"llama": 14, "qwen2": 14, "gpt2": 8, "mixtral": 12, "gpt_oss": 12}
"""Number of parameters that are packed: all matrices of the blocks, a stack of experts counting as one."""


def dense(folder: Path, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, **options)


def sparse(folder: Path, values: Any = "stored", min_zeros: float = 0.3, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=SparseConfig(values=values, min_zeros=min_zeros), **options
    )


def tokens(length: int, rows: int = 1) -> Tensor:
    return torch.randint(0, 300, (rows, length), generator=torch.Generator().manual_seed(1))


def greedy(model: Any, prompt: Tensor, steps: int = 48) -> list[int]:
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = None
    return model.generate(prompt, max_new_tokens=steps, do_sample=False, pad_token_id=0)[0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", SPARSE)
def test_a_family_is_packed_and_gives_the_same_tokens(save: Save, family: str) -> None:
    folder = save(family)
    whole, packed = dense(folder), sparse(folder)
    assert sum(isinstance(parameter, SparseWeight) for parameter in packed.parameters()) == SPARSE[family]
    assert packed.num_parameters() == whole.num_parameters()
    assert greedy(packed, tokens(5)) == greedy(whole, tokens(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_long_prompt_gives_the_bits_of_the_dense_model(save: Save, dtype: torch.dtype) -> None:
    folder = save(dtype=dtype)
    whole, packed = dense(folder), sparse(folder)
    assert packed.dtype == dtype
    with torch.no_grad():
        assert torch.equal(whole(tokens(400)).logits, packed(tokens(400)).logits)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2**-6), (torch.float16, 2**-9)], ids=str)
def test_decoding_differs_by_rounding_only(save: Save, dtype: torch.dtype, bound: float) -> None:
    folder = save(dtype=dtype)
    with torch.no_grad():
        whole, packed = dense(folder)(tokens(5)).logits, sparse(folder)(tokens(5)).logits
    assert (whole - packed).abs().max() <= bound * whole.abs().max()


def test_a_batch_with_a_cache_gives_the_tokens_of_the_dense_model(save: Save) -> None:
    folder = save()
    prompts = tokens(7, rows=3)
    made = [
        model.generate(prompts, max_new_tokens=20, do_sample=False, pad_token_id=0) for model in (dense(folder), sparse(folder))
    ]
    assert torch.equal(*made)


def test_a_dtype_is_converted_while_loading(save: Save) -> None:
    packed = sparse(save(dtype=torch.float32), dtype=torch.bfloat16)
    weight = packed.model.layers[0].mlp.up_proj.weight
    assert weight.kept.dtype == weight.dtype == torch.bfloat16


def test_the_matrices_take_the_share_of_kept_values(save: Save) -> None:
    weight = sparse(save(dtype=torch.bfloat16)).model.layers[0].self_attn.q_proj.weight
    assert weight.packed_bytes / (weight.numel() * 2) == pytest.approx(0.4 + 1 / 16 + 0.03, abs=0.03)  # 8 bytes a row


def test_int8_values_round_to_255_levels_per_output(save: Save) -> None:
    folder = save()
    whole, packed = dense(folder), sparse(folder, values="int8")
    weight = packed.model.layers[0].mlp.up_proj.weight
    exact = whole.model.layers[0].mlp.up_proj.weight
    assert weight.kept.dtype == torch.int8
    largest = exact.abs().amax(1, keepdim=True)
    assert bool(((weight.dense() - exact).abs() <= largest / 254 * 1.001).all())
    with torch.no_grad():
        for length in (3, 40):
            expected, logits = whole(tokens(length)).logits, packed(tokens(length)).logits
            assert (expected - logits).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_a_saved_model_is_the_plain_dense_checkpoint(save: Save, tmp_path: Path, family: str) -> None:
    folder = save(family)
    sparse(folder).save_pretrained(tmp_path / "again")
    saved, original = (load_file(each / "model.safetensors") for each in (tmp_path / "again", folder))
    assert saved.keys() == original.keys()
    assert all(torch.equal(saved[name], original[name]) for name in saved)
    assert "quantization_config" not in json.loads((tmp_path / "again" / "config.json").read_text())


def test_a_copy_and_a_state_dict_are_independent_of_the_model(save: Save) -> None:
    packed = sparse(save())
    copied = copy.deepcopy(packed)
    copied.model.layers[0].mlp.up_proj.weight.kept.zero_()
    assert packed.model.layers[0].mlp.up_proj.weight.dense().any()
    assert not any(isinstance(value, SparseWeight) for value in packed.state_dict().values())


def test_gradients_reach_the_activations(save: Save) -> None:
    folder = save()
    gradients = []
    for model in (dense(folder), sparse(folder)):
        model(tokens(6)).logits.sum().backward()
        gradients.append(model.model.embed_tokens.weight.grad)
    expected, received = gradients
    assert torch.allclose(expected, received, rtol=1e-4, atol=1e-5)


def test_a_compiled_model_gives_the_same_logits(save: Save) -> None:
    packed = sparse(save())
    compiled: Any = torch.compile(packed, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.allclose(compiled(tokens(5)).logits, packed(tokens(5)).logits, atol=1e-5)


def test_matrices_with_few_zeros_stay_dense(save: Save) -> None:
    folder = save()
    state = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    state[name] = torch.randn_like(state[name])
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    packed = sparse(folder)
    assert type(packed.model.layers[0].mlp.up_proj.weight) is torch.nn.Parameter
    assert isinstance(packed.model.layers[1].mlp.up_proj.weight, SparseWeight)


def test_a_model_without_zeros_is_refused(save: Save) -> None:
    with pytest.raises(
        NotSparse, match=r"No matrix has at least 30% zeros \(the sparsest has 2\d\.\d%\); load the model without"
    ):
        sparse(save(zeros=0.25))


def test_a_damaged_matrix_is_named(save: Save) -> None:
    folder = save()
    state = load_file(folder / "model.safetensors")
    state["model.layers.1.mlp.up_proj.weight"][3, 5] = torch.nan
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NotFinite, match=r"^model\.layers\.1\.mlp\.up_proj\.weight holds NaN"):
        sparse(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": "int4"}, "values is 'int4'; give 'stored' or 'int8'"),
        ({"min_zeros": 0}, "min_zeros is 0; give a share above 0"),
        ({"bits": 4}, "no option 'bits'; its options are values and min_zeros"),
    ],
)
def test_an_invalid_option_is_named(options: Any, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        SparseConfig(**options)


def test_a_sparse_weight_is_not_changed_in_place(save: Save) -> None:
    weight = sparse(save()).model.layers[0].mlp.up_proj.weight
    with pytest.raises(ReadOnly, match="cannot be changed in place"):
        weight.add_(2)
    with pytest.raises(ReadOnly, match="cannot be changed in place"):
        weight.mul_(torch.ones(128))
    with pytest.raises(RuntimeError, match="cannot be changed in place"):
        sparse(save(name="other")).load_state_dict(dense(save(name="third")).state_dict())


@pytest.mark.parametrize("values", ["stored", "int8"])
def test_a_sparse_weight_is_scaled_in_place(save: Save, values: str) -> None:
    weight = sparse(save(), values=values).model.layers[0].mlp.up_proj.weight
    whole = weight.dense()
    with torch.no_grad():
        weight.div_(2)
        assert torch.equal(weight.dense(), whole / 2)
        weight.mul_(4)
    assert torch.equal(weight.dense(), whole * 2)


def test_other_operations_see_the_dense_weight(save: Save) -> None:
    weight = sparse(save()).model.layers[0].mlp.up_proj.weight
    whole = weight.dense()
    assert torch.equal(weight + 1, whole + 1)
    assert torch.equal(weight.T, whole.T)
    assert torch.equal(weight[3:5], whole[3:5])
    assert float(weight.norm()) == float(whole.norm())
    assert torch.equal(weight.double(), whole.double())
    assert repr(weight) == "SparseWeight(shape=(200, 128), dtype=torch.float32, values=torch.float32)"


def test_autocast_computes_in_its_own_type(save: Save) -> None:
    packed = sparse(save())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert packed.model.layers[0].mlp.up_proj(torch.randn(1, 128)).dtype == torch.bfloat16


def test_loading_says_nothing_to_the_user(save: Save) -> None:
    folder = save()
    kernels.variant()  # warns once where the kernels were not built
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparse(folder)
