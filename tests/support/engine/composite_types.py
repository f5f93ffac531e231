"""The composite model types that transformers maps with a decoder: supported ones, and the refused ones by name."""

from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

# Refused model types and a word of the reason, most of them with their class in service/contract/checkpoints.py
REFUSED = {
    "blip": "image with every text",
    "blip-2": "image with every text",
    "diffusion_gemma": "denoises",
    "evolla": "not a causal language model",
    "idefics": "image with every text",
    "inkling2": "states of earlier layers",
    "instructblip": "image with every text",
    "instructblipvideo": "image with every text",
    "kosmos-2": "image with every text",
    "kyutai_speech_to_text": "sound with every text",
    "paligemma": "see later ones",
    "pi0": "robot",
    "qwen2_5_omni": "thinker",
    "qwen3_omni_moe": "thinker",
    "voxtral_realtime": "sound with every text",
    "shieldgemma2": "no tensor for any matrix",  # transformers saves it under names that it does not load
    # their vision tower is made by another library, timm
    "fast_vlm": "not installed",
    "gemma3n": "not installed",
    "perception_lm": "not installed",
}
# parts whose sizes must fit together in too many ways for a tiny model
UNTRIED = {"nemo_speechlm"}
_MAPPED = MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.keys() | MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.keys()
ENCODER_DECODERS = sorted(
    model_type
    for model_type in _MAPPED | MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys()
    if getattr(CONFIG_MAPPING[model_type], "is_encoder_decoder", False)
)
SUPPORTED = sorted(_MAPPED - set(ENCODER_DECODERS) - REFUSED.keys() - UNTRIED)
