"""GGUF files of Llama checkpoints for llama.cpp, in bfloat16 and without a tokenizer."""

from pathlib import Path

import gguf
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig


def write(model: Path, target: Path) -> Path:
    """Write the checkpoint as `target`: matrices in bfloat16, norms in float32."""
    config = AutoConfig.from_pretrained(model)
    writer = gguf.GGUFWriter(target, "llama")
    describe(writer, config)
    writer.add_tokenizer_model("no_vocab")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj.weight": config.num_attention_heads, "k_proj.weight": config.num_key_value_heads}
    for shard in sorted(model.glob("*.safetensors")):
        for name, tensor in load_file(shard).items():
            count = next((count for ending, count in heads.items() if name.endswith(ending)), None)
            stored = tensor if count is None else _pairs_from_halves(tensor, count)
            known = names.get_name(name, (".weight",))
            if tensor.ndim == 1:
                writer.add_tensor(known, stored.float().numpy())
            else:
                raw = stored.bfloat16().contiguous().view(torch.uint8).numpy()
                writer.add_tensor(known, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def describe(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    """Add the sizes of a model."""
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters.get("full_attention", config.rope_parameters)["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)


def matrix_bytes(path: Path) -> int:
    """Return the bytes of the blocks' matrices in a file."""
    tensors = gguf.GGUFReader(path).tensors
    return sum(int(tensor.n_bytes) for tensor in tensors if tensor.name.startswith("blk.") and len(tensor.shape) == 2)


def _pairs_from_halves(rows: Tensor, heads: int) -> Tensor:
    """Reorder the rows of each head: rotary position embedding turns pairs of neighbours in llama.cpp, halves in transformers."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)
