"""The model types that transformers maps as causal language models: supported ones, and the refused ones by name."""

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

# The refused model types and the class that the refusal names. The engine knows the first group by name
# (worker/engine/model/decoder_layers.py gives the reasons); for the second, AutoModelForCausalLM makes no model
# from the config alone or from what it saved.
REFUSED = {
    "blt": "BltForCausalLM",
    "gemma4_assistant": "Gemma4Assistant",  # its own config's rules contradict those of the decoder in it
    "gemma4_unified_assistant": "Gemma4UnifiedAssistantForCausalLM",
    "hrm_text": "HrmTextForCausalLM",
    "inkling2_text": "Inkling2ForCausalLM",
    "reformer": "ReformerModelWithLMHead",
    "xlm": "XLMWithLMHeadModel",
    "xlnet": "XLNetLMHeadModel",
    # the model takes only a part of the config, and what it saves is not mapped
    "emu3": "emu3_text_model",
    "mllama": "mllama_text_model",
    # the model takes only a part of the config, which the mapping does not hand it
    "musicgen": "MusicgenConfig",
    "musicgen_melody": "MusicgenMelodyConfig",
    # its vision tower is made by another library, timm
    "gemma3n": "Gemma3nConfig",
}
SUPPORTED = sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(REFUSED))
