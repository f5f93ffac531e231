"""The model types that transformers maps as causal language models: supported ones, and the refused ones by name."""

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

# The refused model types and the class that the refusal names. The engine knows the first group by name
# (worker/engine/model/decoder_layers.py gives the reasons); for the second, AutoModelForCausalLM makes no model
# from the config alone or from what it saved.
REFUSED = {
    "blt": "BltForCausalLM",
    "cpmant": "CpmAntForCausalLM lets tokens see later ones",
    "gemma4_assistant": "Gemma4AssistantForCausalLM",
    "gemma4_unified_assistant": "Gemma4UnifiedAssistantForCausalLM",
    "hrm_text": "HrmTextForCausalLM",
    "inkling2_text": "Inkling2ForCausalLM",
    "reformer": "ReformerModelWithLMHead",
    "xlm": "XLMWithLMHeadModel",
    "xlnet": "XLNetLMHeadModel",
    "zamba": "ZambaForCausalLM runs one transformer at several depths",
    "zamba2": "Zamba2ForCausalLM runs one transformer at several depths",
    # the model takes only a part of the config, and what it saves is not mapped
    "emu3": "emu3_text_model",
    "mllama": "mllama_text_model",
    "musicgen": "encoder with a decoder",
    "musicgen_melody": "encoder with a decoder",
    # its vision tower is made by another library, timm
    "gemma3n": "not installed",
}
SUPPORTED = sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(REFUSED))
