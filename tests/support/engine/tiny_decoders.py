"""A tiny random model of every model type that transformers maps as a causal language model.

Sizes are found by the names of the config's fields, whatever the family; a family whose fields must fit together in its
own way has an entry in a table. Models are wide enough beside their few layers that norms, biases, convolutions and
routers weigh little, as they do in real ones: coverage below 95 % here would be below it there.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig

from service.contract.checkpoints import ENCODERS

VOCABULARY = 96
_WIDTH = 64

_SIZES: dict[int, str] = {
    1: "n_group topk_group num_expert_group n_groups bos_token_id first_k_dense_replace num_dense_layers",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_encoder_layers num_decoder_layers "
    "num_key_value_heads num_kv_heads swa_num_key_value_heads num_experts_per_tok num_experts_per_token moe_topk moe_k "
    "o_groups linear_num_key_heads eos_token_id decoder_start_token_id",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads attention_heads "
    "num_encoder_attention_heads num_decoder_attention_heads swa_num_attention_heads num_experts num_local_experts "
    "n_routed_experts moe_num_experts index_n_heads time_step_rank mamba_dt_rank linear_num_value_heads linear_num_heads "
    "patch_size",
    8: "sliding_window sliding_window_size window_size attention_chunk_size attention_window_size local_attention "
    "gated_norm_rank index_topk mamba_n_heads mamba_num_heads laurel_rank",
    16: "head_dim dim_head d_head swa_head_dim attention_head_size attention_head_dim kv_channels qk_rope_head_dim "
    "qk_nope_head_dim v_head_dim index_head_dim mamba_d_head mamba_head_dim mamba_headdim mamba_d_state ssm_state_size "
    "state_size mamba_chunk_size chunk_size linear_key_head_dim linear_value_head_dim linear_head_dim rotary_dim "
    "hidden_size_per_layer_input image_size",
    32: "q_lora_rank kv_lora_rank o_lora_rank",
    64: "max_position_embeddings n_positions n_ctx max_seq_len model_max_length context_length max_target_positions "
    "max_source_positions hidden_size n_embd d_model emb_dim embedding_size embedding_dim word_embed_proj_dim "
    "input_embedding_size output_embedding_size lru_width attention_hidden_size",
    96: "vocab_size vocab_size_per_layer_input moe_intermediate_size expert_ffn_hidden_size shared_expert_intermediate_size "
    "shared_intermediate_size moe_shared_expert_intermediate_size shared_experts_intermediate_size",
    128: "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim ffn_hidden_size dff dim_ff d_inner feed_forward_size "
    "dense_intermediate_size intermediate_size_mlp mamba_d_ssm",
    0: "pad_token_id num_nextn_predict_layers",
}
_SMALL = {name: size for size, names in _SIZES.items() for name in names.split()}

_DERIVED = {"num_key_value_heads", "intermediate_size", "ffn_dim"}  # None stands for something made of the full size
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_MAMBA = {"hidden_size": 128, "intermediate_size": 256, "state_size": 4}
_DOTS3 = {"per_layer_config": {1: {"kv_lora_rank": 16}}, "head_dim": 32, "num_key_value_heads": 4}
_HYBRIDS = {"num_hidden_layers": 4, "layer_types": ["linear_attention", "hybrid"] * 2}
_SHARED_KEYS = {
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
_QWEN4 = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
    "hc_lowrank": 8,
    "hc_count": 2,
    "ple_embed_dim": 64,
}
OWN: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE},
    },
    "cpmant": {"prompt_length": 4},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": _WIDTH},
    },
    "deepseek_v2": {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    "deepseek_v4": {"hc_mult": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note": {
        "vision_config": {"mlp_layer_types": ["dense"] * 2, "adapter_in_dim": 64, "adapter_out_dim": 64},
        "audio_config": {"adapter_input_size": 64, "adapter_out_dim": 64, "downsample_hidden_size": 16},
        "text_config": _DOTS3,
    },
    "dots3_note_text": _DOTS3,
    "falcon_mamba": _MAMBA,
    "gemma3n_text": {
        "num_kv_shared_layers": 1,
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "activation_sparsity_pattern": [0.9, 0.0, 0.0],
        "intermediate_size": 128,
        "hidden_size": 128,
    },
    "gemma4_assistant": {
        "text_config": _SHARED_KEYS
        | {
            "model_type": "gemma4_text",
            "num_kv_shared_layers": 4,
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 0,
        },
    },
    "gemma4_text": _SHARED_KEYS,
    "gemma4_unified_assistant": {"text_config": _SHARED_KEYS | {"model_type": "gemma4_unified_text"}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "hy_v4": {"hc_mult": 2},
    "inkling_text": {"rel_extent": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"zero_expert_num": 1, "n_routed_experts": 12},
    "mamba": _MAMBA,
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 16},
    "phi4_multimodal": {"audio_config": {"num_blocks": 1, "hidden_size": _WIDTH, "intermediate_size": _WIDTH}},
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "recurrent_gemma": {"hidden_size": 128, "lru_width": 128, "num_attention_heads": 16, "intermediate_size": 512},
    "reformer": {"is_decoder": True, "axial_pos_embds_dim": [16, 48], "attn_layers": ["local", "lsh"]},
    "xmod": {"default_language": "en_XX"},
    "zamba": _HYBRIDS
    | {"hidden_size": 128, "attention_hidden_size": 256, "attention_head_dim": 64, "mamba_d_state": 4, "intermediate_size": 256},
    "zamba2": _HYBRIDS | {"hybrid_layer_ids": [1, 3], "attention_hidden_size": 128, "attention_head_dim": 32, "adapter_rank": 8},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 8, "hidden_size": 128},
}


def tiny_config(model_type: str, *, beside: Any = MappingProxyType({}), **more: Any) -> Any:
    """The config of a tiny model, with some fields given; `beside`: further sizes of the parts that are no decoder."""
    kind, own = CONFIG_MAPPING[model_type], OWN.get(model_type, {}) | more
    if model_type in ENCODERS:
        own = {"is_decoder": True} | own
    try:
        sizes = _shrunk(kind(), beside)
    except StrictDataclassClassValidationError:  # a config that has no valid defaults: the table gives what is needed
        sizes = {}
    for name, value in own.items():
        is_part = isinstance(value, dict) and isinstance(sizes.get(name), dict)
        sizes[name] = sizes[name] | value if is_part else value
    return kind(**sizes)


def save(model_type: str, folder: Path, **config: Any) -> None:
    """A random model with weights that matter, in several shards."""
    save_random(AutoModelForCausalLM.from_config(tiny_config(model_type, **config)), folder)


def save_random(model: Any, folder: Path) -> None:
    """Save a model with random weights that matter, in several shards."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim in {2, 3}:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.08)
    model.eval().save_pretrained(folder, max_shard_size="400KB")


def load(folder: Path) -> Any:
    """The checkpoint as transformers loads it."""
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def _shrunk(config: PretrainedConfig, beside: Mapping[str, int], sizes: Mapping[str, int] = _SMALL) -> dict[str, Any]:
    """The fields that make a model of this config small; one layer of each of its types, at least two."""
    values, parts, small = config.to_dict(), config.sub_configs, dict[str, Any]()
    text = config.get_text_config(decoder=True)
    sizes = sizes if text is config else {**sizes, **beside}
    for name, value in values.items():
        if name in parts and isinstance(part := getattr(config, name), PretrainedConfig):
            is_text = part is text or part.get_text_config(decoder=True) is text
            small[name] = _shrunk(part, beside, _SMALL if is_text else {**_SMALL, **beside}) | {"model_type": part.model_type}
        elif name in sizes and (type(value) is int or (value is None and name in _DERIVED)):
            small[name] = sizes[name]
    if "kv_lora_rank" in values:
        small["num_key_value_heads"] = small["num_attention_heads"]
    types = values.get("layer_types")
    if isinstance(types, list) and "num_hidden_layers" in small:
        kinds = list(dict.fromkeys(types))
        small["layer_types"] = kinds if len(kinds) > 1 else kinds * 2
        small["num_hidden_layers"] = len(small["layer_types"])
    return small
