"""PyTorch's kernels for 2:4, which exist on NVIDIA GPUs since Ampere: skipped wherever there is none."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from worker.evaluation.speed.sparse_kernels import stored_bytes, with_sparse_kernels

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0), reason="needs an NVIDIA GPU since Ampere"
)


def _two_of_four(model: LlamaForCausalLM) -> LlamaForCausalLM:
    for name, weight in model.named_parameters():
        if name.endswith("proj.weight"):
            groups = weight.data.view(len(weight), -1, 4)
            groups.scatter_(2, groups.abs().topk(2, dim=2, largest=False).indices, 0)
    return model


def test_sparse_kernels_match_the_dense_2_4_model_in_less_memory() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=512, intermediate_size=1024, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=8
    )
    dense = _two_of_four(LlamaForCausalLM(config)).to("cuda", torch.bfloat16).eval()
    sparse = copy.deepcopy(dense)

    with torch.inference_mode():
        assert with_sparse_kernels(sparse) == 14
        tokens = torch.arange(64, device="cuda")[None]
        torch.testing.assert_close(sparse(tokens).logits, dense(tokens).logits, rtol=0.05, atol=0.05)

    layers = [sum(map(stored_bytes, model.model.layers.parameters())) for model in (dense, sparse)]
    assert layers[1] < 0.6 * layers[0], "two of four values, and two bits for each"
