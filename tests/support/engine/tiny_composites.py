"""A tiny random model of every composite model type: a known decoder with encoders of images or sound."""

from pathlib import Path
from typing import Any

from tests.support.engine import tiny_decoders
from worker.engine.model.meta import auto_class_of, text_config

_BESIDE: dict[int, str] = {
    2: "depth num_blocks num_global_layers num_res_blocks",
    4: "num_filters",
    16: "context_size max_pos_emb num_mel_bins",
    32: "hidden_dim base_channels latent_channels",
    64: "embed_dim out_hidden_size output_channels output_dim projection_dim projector_input_dim projector_output_dim "
    "encoder_hidden_size mlp_dim downsample_hidden_size projector_hidden_size patch_embed_hidden_size "
    "num_position_embeddings num_patches image_token_embed_dim nemo_conv_channels ext_pw_out_channel "
    "depthwise_separable_out_channel text_hidden_size alignment_intermediate_size merged_hidden_size",
}
_SMALL = {name: size for size, names in _BESIDE.items() for name in names.split()}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_WORDS = {"<image>": 4, "<|extra_200|>": 5}
_OWN: dict[str, dict[str, Any]] = {
    "chameleon": {"vocabulary_map": _WORDS},
    "cohere_compass": {"text_config": tiny_decoders.OWN["cohere_compass_text"]},
    "cosmos3_edge": {"text_config": {"rope_parameters": {**_ROPE, "mrope_section": [3, 3, 2]}}},
    "deepseek_ocr2": {"text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2}},
    "emu3": {"vocabulary_map": _WORDS},
    "ernie4_5_vl_moe": {"text_config": {"moe_num_experts": 4, "rope_parameters": {**_ROPE, "mrope_section": [3, 3, 2]}}},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 16}},
    "glm5_next": {"text_config": {"index_topk": 16, "qk_rope_head_dim": 0}},
    "granite4_vision": {"deepstack_layer_map": [[0, 0]], "downsample_rate": "1/2"},
    "hunyuan_vl": {"text_config": {"head_dim": 16}},
    "kosmos-2": {"text_config": {"layers": 2, "embed_dim": 64}},
    "kosmos-2.5": {"text_config": {"layers": 2, "embed_dim": 64}},
    "mistral4": {"rope_parameters": {**_ROPE, "original_max_position_embeddings": 64, "llama_4_scaling_beta": 0.1}},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "muse_spark": {
        "audio_config": {"num_hidden_layers": 4, "hidden_sizes": [16] * 4, "depths": [1] * 4},
        "text_config": {"moe_hidden_size": 64},
    },
    "nemotron_h_omni": {"vision_config": {"video_temporal_patch_size": 2}},
    "step3p7": {"text_config": {"sliding_window": 8}},
    "vibevoice_asr": {
        "semantic_tokenizer_encoder_config": {"depths": [1] * 7},
        "acoustic_tokenizer_encoder_config": {"depths": [1] * 7},
    },
}


def tiny_config(model_type: str, **more: Any) -> Any:
    """The config of a tiny composite model, with some fields given."""
    config = tiny_decoders.tiny_config(model_type, beside=_SMALL, **_OWN.get(model_type, {}) | more)
    text = text_config(config)
    rope = getattr(text, "rope_parameters", None) or {}
    if "rope_type" in rope:
        _shrink_sections(rope, text)
    return config


def save(model_type: str, folder: Path, **config: Any) -> None:
    """A random model with weights that matter, in several shards."""
    config = tiny_config(model_type, **config)
    tiny_decoders.save_random(auto_class_of(config).from_config(config), folder)


def load(folder: Path) -> Any:
    """The checkpoint as transformers loads it, with all its parts."""
    from transformers import AutoConfig

    return auto_class_of(AutoConfig.from_pretrained(folder)).from_pretrained(folder).eval()


def _shrink_sections(rope: dict[str, Any], text: Any) -> None:
    """Give each axis of the positions its share of the smaller heads."""
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    half, old = int(width * rope.get("partial_rotary_factor", 1.0)) // 2, rope.get("mrope_section", [16, 24, 24])
    sections = [max(1, half * part // sum(old)) for part in old]
    rope["mrope_section"] = [*sections[:-1], half - sum(sections[:-1])]
