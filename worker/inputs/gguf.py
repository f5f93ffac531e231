"""Conversion of a GGUF file to a safetensors checkpoint with transformers' own loader.

The loader skips tensors and settings that it does not know, and initialises at random the parameters that the file lacks. Here
each is an error, because the model would answer differently from its source.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache, partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from service.contract.failures import FailureCode
from worker.failures import JobFailure
from worker.inputs.gguf_parts import join, parts_of
from worker.inputs.gguf_rope import FACTORS, apply_factors
from worker.process.limited_child import Limits, run_limited

_FIXED_BY_SHAPES = ("context_length", "feed_forward_length", "head_count_kv", "key_length", "value_length", "vocab_size")
"""Endings of settings that are unused, or that the shapes of the parameters confirm."""

_CONFIG_NAMES = {"freq_base": "rope_theta", "layer_norm_epsilon": "norm_eps"}


class ImportRefused(JobFailure):
    """An unsuitable source or destination of an import; the message is a sentence for the user."""

    def __init__(self, detail: str) -> None:
        super().__init__(FailureCode.MODEL_UNSAFE, detail)


@dataclass(frozen=True)
class _Source:
    """The header of a GGUF file."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])


def fastest_dtype() -> torch.dtype:
    """Return bfloat16 if the processor has matrix or dot-product instructions for it, else float32."""
    known = torch.cpu.get_capabilities()
    return torch.bfloat16 if known.get("amx_bf16") or known.get("avx512_bf16") else torch.float32


def convert(path: Path, folder: Path, say: Callable[[str], None], dtype: torch.dtype = torch.float32) -> None:
    """Write config, weights of type `dtype`, generation settings, tokenizer and a model card into an existing folder.

    Raises:
        ImportRefused: not a GGUF file, or one with unsupported content.
    """
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place_of_parts:
        _convert(_open(path, Path(place_of_parts)), folder, say, dtype)


def _convert(source: "_Source", folder: Path, say: Callable[[str], None], dtype: torch.dtype) -> None:
    from transformers import AutoConfig, GenerationConfig

    type_name = str(dtype).removeprefix("torch.")
    with _loading(source) as place:
        say("reading its configuration and tokenizer")
        write = partial(_write_config_and_tokenizer, source, place, folder)
        special = run_limited(write, source.name, FailureCode.MODEL_UNSAFE, _limits(source.path))
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        say(f"dequantising {len(source.tensors)} tensors to {type_name}")
        model = _model(source, place, config, dtype)
    model.generation_config = GenerationConfig(**special)
    say("writing safetensors")
    model.save_pretrained(folder, max_shard_size="5GB")
    (folder / "README.md").write_text(_card(source, type_name), encoding="utf-8")


def _open(path: Path, place: Path) -> _Source:
    """Read the header and check architecture and tokenizer; the parts of a split file are joined in the folder `place`."""
    from transformers.integrations.gguf import read_gguf_metadata

    parts = parts_of(path)
    if missing := next((part for part in parts if not part.is_file()), None):
        raise ImportRefused(f"{path.name} is one of {len(parts)} parts, and {missing.name} is missing; download it, too")
    try:
        if len(parts) > 1:
            join(parts, path := place / path.name)
        header = run_limited(partial(read_gguf_metadata, str(path)), path.name, FailureCode.MODEL_UNSAFE, _limits(path))
    except (JobFailure, OSError) as error:
        raise ImportRefused(f"{path.name} is not a GGUF file, or is truncated; download it again") from error
    source = _Source(path, *header)
    known = _architectures()
    if _plain(source.architecture) not in map(_plain, known):
        raise ImportRefused(f"{path.name} has the architecture {source.architecture!r}; supported are {', '.join(known)}")
    if "tokenizer.ggml.model" not in source.metadata:
        raise ImportRefused(f"{path.name} contains no tokenizer; take a GGUF file with one, or a safetensors checkpoint")
    return source


def _limits(path: Path) -> Limits:
    return Limits(memory=Limits.memory + path.stat().st_size)  # the reader maps the file


def _architectures() -> list[str]:
    """Return the architectures of transformers' GGUF loader that are causal language models and have a name in GGUF."""
    from gguf import MODEL_ARCH_NAMES
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    named = set(map(_plain, MODEL_ARCH_NAMES.values()))
    by_tables = {name for name in GGUF_CONFIG_MAPPING if name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and _plain(name) in named}
    return sorted(by_tables | set(GGUF_CONFIG_ARCHS))


def _plain(architecture: str) -> str:
    """Return the name without separators: GGUF's `qwen2moe` and `minimax-m2` are transformers' `qwen2_moe` and `minimax_m2`."""
    return architecture.replace("_", "").replace("-", "")


@contextmanager
def _loading(source: _Source) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `from_pretrained`: a folder with the file alone, because JSON files next to it would be read too."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with TemporaryDirectory() as folder, _reading_once(), redirect_stderr(StringIO()):  # the loader has a progress bar of its own
        (Path(folder) / "model.gguf").symlink_to(source.path.resolve())
        yield {
            "pretrained_model_name_or_path": folder,
            "gguf_file": "model.gguf",
            "trust_remote_code": False,
            "local_files_only": True,
        }


def _write_config_and_tokenizer(source: _Source, place: Mapping[str, Any], folder: Path) -> dict[str, int | None]:
    """Write config and tokenizer into the folder; return the ids of the special tokens."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(**place)
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except MemoryError:
        raise
    except Exception as error:  # the loader trusts its file, too
        reason = type(error).__name__
        raise ImportRefused(f"{source.name} is truncated or not supported ({reason}); download it again") from error
    vars(config).pop("_model_name_or_path", None)  # holds a title, where readers of the config expect a path
    tokenizer.model_max_length = config.max_position_embeddings
    _check_settings(source, config)
    if FACTORS in source.tensors and "rope_theta" in (config.rope_parameters or {}):
        apply_factors(source.path, config)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}


def _check_settings(source: _Source, config: Any) -> None:
    """Refuse a setting of the architecture that the loader does not read and that differs from the config's value."""
    read = _settings_read(source)
    if read is None:
        return
    values = config.to_dict()
    values |= values.get("rope_parameters") or {}
    for name, value in source.metadata.items():
        setting = name.removeprefix(f"{source.architecture}.")
        if setting == name or setting in read or setting.endswith(_FIXED_BY_SHAPES) or value in (0, "none"):
            continue
        short = setting.rpartition(".")[2]
        if not _equal(value, values.get(short, values.get(_CONFIG_NAMES.get(short, short)))):
            raise ImportRefused(f"{source.name} has the setting {name}, which the conversion does not support")


def _settings_read(source: _Source) -> Mapping[str, Any] | None:
    """Return the loader's table of settings; None for the architectures that it reads by functions, not by tables."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS

    if source.architecture in GGUF_CONFIG_ARCHS:
        return None
    tables: dict[str, dict[str, Any]] = {_plain(name): table for name, table in GGUF_CONFIG_MAPPING.items()}
    return tables[_plain(source.architecture)]


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, float) and isinstance(other, int | float):
        return math.isclose(value, other, rel_tol=1e-6)  # GGUF holds float32
    return bool(value == other)


def _model(source: _Source, place: Mapping[str, Any], config: Any, dtype: torch.dtype) -> Any:
    """Return the model with dequantised weights."""
    from transformers import AutoModelForCausalLM, GgufConfig

    model, info = AutoModelForCausalLM.from_pretrained(
        **place,
        config=config,
        dtype=dtype,
        quantization_config=GgufConfig(dequantize=True),  # else it looks for a kernel and refuses to be saved
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    factors = {FACTORS} if config.rope_parameters.get("rope_type") in ("llama3", "longrope") else set()
    skipped = sorted({*(info["unexpected_keys"] or _skipped(source, model))} - factors)
    if skipped:
        raise ImportRefused(f"{source.name} has the tensor {skipped[0]}, which the conversion does not support")
    odd = sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})
    if odd:
        raise ImportRefused(f"the tensors of {source.name} do not match its configuration at {odd[0]}; download it again")
    return model


@contextmanager
def _reading_once() -> Iterator[None]:
    """Cache what transformers asks gguf for repeatedly: the reader of the file, and the map of tensor names of every module."""
    import gguf
    import numpy as np

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        """Reader that slices a plain array, which is faster than a memory map; a vocabulary takes 250,000 slices."""

        data: Any

        def _get(self, *where: Any, **how: Any) -> Any:
            self.data = np.asarray(self.data)
            return super()._get(*where, **how)

    names = {"GGUFReader": Reader, "get_tensor_name_map": gguf.get_tensor_name_map}
    originals = {name: getattr(gguf, name) for name in names}
    try:
        for name, act in names.items():
            setattr(gguf, name, cache(act))
        yield
    finally:
        for name, act in originals.items():
            setattr(gguf, name, act)


def _skipped(source: _Source, model: Any) -> list[str]:
    """Return the tensors for which transformers' loader by tables has no parameter."""
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

    if _settings_read(source) is None:
        return []
    known = get_gguf_hf_weights_map(model, TENSOR_PROCESSORS.get(source.architecture, TensorProcessor)())
    return [name for name in source.tensors if name not in known and name.removesuffix(".weight") not in known]


def _card(source: _Source, dtype: str) -> str:
    from huggingface_hub import ModelCardData

    stated = source.metadata.get("general.license")
    license_name = stated if isinstance(stated, str) else None
    data = ModelCardData(license=license_name, library_name="transformers", pipeline_tag="text-generation")
    text = f"Converted from a GGUF file; quantised weights are dequantised to {dtype}, which restores no precision."
    return f"---\n{data.to_yaml()}\n---\n\n# {source.path.stem}\n\n{text}\n"
