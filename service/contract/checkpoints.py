"""Rules by which service and engine refuse a checkpoint, by sizes, names, shapes and config alone. Standard library only."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from service.contract.bounded_json import walk
from service.contract.checkpoint_files import QUANTISER_FILES
from service.contract.model_types import MODEL_TYPES

MAX_SHARDS: Final = 1000
MAX_TENSORS: Final = 300_000
"""Maximum number of tensors of all shards; the largest mixture of experts known has 138,000."""
MAX_HEADER_BYTES: Final = 64 << 20
"""Maximum size of the headers of all shards together."""
MAX_INDEX_BYTES: Final = 64 << 20
MAX_NAME: Final = 1000
"""Maximum length of a tensor's name in characters."""
MAX_AXES: Final = 64
"""Maximum number of axes of a tensor, as in torch."""
MAX_COPIES: Final = 100
"""Maximum number of tensors that are in several shards."""
_TAKES_IMAGES: Final = "takes an image with every text, so it cannot be run on text alone."
_TAKES_SOUND: Final = "takes sound with every text, so it cannot be run on text alone."
_SEES_LATER: Final = "lets tokens see later ones in its prompt, so it is no causal language model."
_COLLECTS: Final = "collects the states of earlier layers and hands them to later ones."
_SHARES: Final = "runs one transformer at several depths: its masks would fit the inputs of one of them alone."
_SEVERAL: Final = "has several decoders and no forward pass of its own; save its thinker as a model and take that."
UNSUPPORTED: Final[dict[str, str]] = {
    "Blip2ForConditionalGeneration": _TAKES_IMAGES,
    "BlipForConditionalGeneration": _TAKES_IMAGES,
    "BltForCausalLM": "sends bytes through several stacks of layers of different lengths, and not through one.",
    "CpmAntForCausalLM": _SEES_LATER,
    "DiffusionGemmaForBlockDiffusion": "denoises blocks of tokens, so it is no causal language model.",
    "EvollaForProteinText2Text": "takes a protein with every text, so it cannot be run on text alone.",
    "Gemma4AssistantForCausalLM": "only drafts for another model, whose keys and values it reads.",
    "Gemma4UnifiedAssistantForCausalLM": "only drafts for another model, whose keys and values it reads.",
    "HrmTextForCausalLM": "runs two stacks of layers in turns, each several times: no block comes before another.",
    "IdeficsForVisionText2Text": _TAKES_IMAGES,
    "Inkling2ForCausalLM": _COLLECTS,
    "Inkling2ForConditionalGeneration": _COLLECTS,
    "InstructBlipForConditionalGeneration": _TAKES_IMAGES,
    "InstructBlipVideoForConditionalGeneration": _TAKES_IMAGES,
    "Kosmos2ForConditionalGeneration": _TAKES_IMAGES,
    "KyutaiSpeechToTextForConditionalGeneration": _TAKES_SOUND,
    "PI0ForConditionalGeneration": "predicts movements of a robot, not tokens.",
    "PaliGemmaForConditionalGeneration": _SEES_LATER,
    "Qwen2_5OmniForConditionalGeneration": _SEVERAL,
    "Qwen3OmniMoeForConditionalGeneration": _SEVERAL,
    "ReformerModelWithLMHead": "has reversible layers, which hand on two streams of hidden states.",
    "VoxtralRealtimeForConditionalGeneration": _TAKES_SOUND,
    "XLMWithLMHeadModel": "keeps attentions, feed-forwards and norms in lists of their own and has no layers.",
    "XLNetLMHeadModel": "keeps its attention weights with three axes (width, heads, width of a head) and has two streams.",
    "Zamba2ForCausalLM": _SHARES,
    "ZambaForCausalLM": _SHARES,
}
"""Architectures that cannot be run block by block, each with the reason."""
ENCODERS: Final = frozenset(
    {
        "bert",
        "bert-generation",
        "big_bird",
        "camembert",
        "data2vec-text",
        "electra",
        "ernie",
        "megatron-bert",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Model types that are encoders unless the config has `is_decoder: true`."""
_TAKE_KNOWN: Final = "take a model whose type transformers knows, such as llama"
ENCODER_DECODER: Final = (
    "The model is an encoder with a decoder (is_encoder_decoder in config.json): its encoder and the cross-attention to it are "
    "not run here; take a decoder model."
)
_TEXT: Final = ("text_config", "llm_config", "language_config")
QUANTISER_KEYS: Final = ("quantization_config", "quantization", "compression_config")
_NAMES: Final = re.compile(r"\.(qweight|weight_packed|weight_scale(_inv)?|SCB|weight\.absmax)$|_proj_(blocks|scales)$")
_WEIGHT: Final = re.compile(r"(\.weight|_proj)$")
FLOATS: Final = ("F64", "F32", "F16", "BF16")
"""Data types of safetensors in which a model can be computed."""


def reason_against_name(name: str) -> str | None:
    """Return why an artifact cannot contain a file of this name; None if it can."""
    if name.isprintable() and "\\" not in name:
        return None
    return f"The file name {name[:100]!r} has a backslash or a character that cannot be printed; rename the file."


def reason_against_code(config: Mapping[str, Any]) -> str | None:
    """Return why a model needs code of its own, which is never run; None if it does not.

    An `auto_map` of a type that transformers knows is left over from earlier versions and has no effect.
    """
    kind = config.get("model_type")
    if any(key == "auto_map" for key, _ in walk(config)) and kind not in MODEL_TYPES:
        return f"config.json has an auto_map: the model needs its own code, which is never run; {_TAKE_KNOWN}."
    remote = next((key for key, value in walk(config) if key.endswith("_implementation") and "/" in str(value)), None)
    return f"config.json names remote code as {remote[:80]}, which is never run; remove the key." if remote else None


def reason_against_config(config: Mapping[str, Any]) -> str | None:
    """Return why the model of this config cannot be pruned; None if no reason is known."""
    kind = config.get("model_type")
    if isinstance(kind, str) and kind not in MODEL_TYPES:
        return f"The model_type {kind[:80]!r} of config.json is not a causal language model of transformers; {_TAKE_KNOWN}."
    return reason_against_attention(config)


def reason_against_layers(count: int, present: Collection[int]) -> str | None:
    """Return why some of `count` decoder layers are missing, given the numbers of those in the files; None if none is."""
    missing = count - sum(number < count for number in present)
    if not missing:
        return None
    first = next(number for number in range(count) if number not in present)
    return (
        f"The weights of {missing} of {count} decoder layers are missing, the first of which is layer {first}; "
        "complete the shards and their index, or correct config.json."
    )


def loading_class(config: Mapping[str, Any]) -> str:
    """Return the name of transformers' class that loads a checkpoint; a composite model names its own."""
    named = config.get("architectures")
    kind = named[0] if isinstance(named, list) and named else None
    return kind if isinstance(kind, str) and kind.endswith("ForConditionalGeneration") else "AutoModelForCausalLM"


def reason_against_attention(config: Mapping[str, Any]) -> str | None:
    """Return why a config describes no causal language model; None if no reason is known."""
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in ENCODERS and config.get("is_decoder") is not True:
        return f"A {kind} without is_decoder in config.json is an encoder, not a causal language model; take a decoder model."
    if config.get("is_encoder_decoder") is True:
        return ENCODER_DECODER
    for part in (config, *(config[name] for name in _TEXT if isinstance(config.get(name), dict))):
        for key, value in (("is_causal", False), ("use_bidirectional_attention", True), ("use_bidirectional_attention", "all")):
            if part.get(key) == value and type(part.get(key)) is type(value):
                return f"config.json has {key}: tokens see later ones, so it is no causal language model; take a causal model."
    return None


def reason_against_quantised(
    config: Mapping[str, Any], files: Iterable[str], tensors: Iterable[tuple[str, str, tuple[int, ...]]]
) -> str | None:
    """Return why a checkpoint counts as quantised; None if it does not."""
    sign = sign_of_quantisation(config, files, tensors)
    return sign and (
        f"The checkpoint is quantised ({sign}); take the original in bfloat16, float16 or float32, "
        "or convert fp8 and MXFP4 with `dsnot models import --dequantize`."
    )


def sign_of_quantisation(
    config: Mapping[str, Any], files: Iterable[str], tensors: Iterable[tuple[str, str, tuple[int, ...]]]
) -> str | None:
    """Return the first sign of a quantised checkpoint, given name, data type and shape of its tensors; None if there is none."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]  # also of a text_config
    signs = [f"config.json has {key}" for key in QUANTISER_KEYS for part in parts if part.get(key)]
    signs += [f"{name} is there" for name in QUANTISER_FILES if name in files]
    for name, dtype, shape in tensors:
        if _NAMES.search(name) or (_WEIGHT.search(name) and len(shape) > 1 and dtype not in FLOATS):
            signs.append(f"{name} is stored as {dtype}")
    return next(iter(signs), None)
