"""Importing models: small GGUF files written with llama.cpp's own library, and folders."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel

from tests.support import checkpoints
from tests.support.gguf_files import stored, write
from worker.gguf_import import main


def _gemma3() -> PreTrainedModel:
    """Five layers of sliding and one of full attention, norms unlike their initial value, heads wider than hidden / heads."""
    shape = checkpoints.config().to_dict()
    names = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
    )
    config = Gemma3TextConfig(**{name: shape[name] for name in names}, num_hidden_layers=6, head_dim=16, sliding_window=8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gemma3ForCausalLM(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                torch.nn.init.normal_(parameter, std=0.2)
    return model


def _models() -> Iterator[Any]:
    yield pytest.param("llama", lambda: checkpoints.build(tie_word_embeddings=True), id="llama-tied")
    yield pytest.param("llama", lambda: checkpoints.build(tie_word_embeddings=False), id="llama-untied")
    yield pytest.param("gemma3", _gemma3, id="gemma3")


@pytest.mark.parametrize(("architecture", "build"), _models())
def test_a_converted_model_matches_the_original(architecture: str, build: Callable[[], PreTrainedModel], tmp_path: Path) -> None:
    original = write(tmp_path / "tiny.gguf", build(), architecture=architecture)
    tied = original.config.tie_word_embeddings

    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "root" / "tiny"), "--dtype", "float32"]) == 0

    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "root" / "tiny").eval()
    assert (converted.dtype, type(converted)) == (torch.float32, type(original))
    assert converted.config.tie_word_embeddings is tied
    assert not hasattr(converted.config, "quantization_config")
    assert ("lm_head.weight" in load_file(tmp_path / "root" / "tiny" / "model.safetensors")) is not tied
    expected = {name: stored(tensor, architecture) for name, tensor in original.state_dict().items()}
    state = converted.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    original.load_state_dict(expected)
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(converted(tokens).logits, original(tokens).logits, atol=1e-5)


@pytest.mark.parametrize("rope_type", ["llama3", "longrope"])
def test_rope_factors_divide_the_frequencies(tmp_path: Path, rope_type: str) -> None:
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaled = {"rope_theta": 500000.0, "original_max_position_embeddings": 8192, **llama3}
    original = checkpoints.build(tie_word_embeddings=True, rope_parameters=scaled, head_dim=16)
    plain = checkpoints.build(rope_parameters={"rope_theta": 500000.0, "rope_type": "default"}, head_dim=16)
    factors = plain.model.rotary_emb.inv_freq / original.model.rotary_emb.inv_freq
    if rope_type == "longrope":
        factors = torch.linspace(1, 3, len(factors))
    write(tmp_path / "tiny.gguf", original, edit=lambda writer: writer.add_tensor("rope_freqs.weight", factors.numpy()))

    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "tiny")]) == 0

    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    assert converted.config.rope_parameters["rope_type"] == rope_type
    rotary = converted.model.rotary_emb
    cosines, _ = rotary(torch.zeros(1), torch.arange(60)[None])
    angles = torch.arange(60)[:, None] * plain.model.rotary_emb.inv_freq / factors
    assert torch.allclose(cosines[0], torch.cat((angles, angles), dim=1).cos(), atol=1e-5)


def _split(source: Path, count: int) -> list[Path]:
    """Parts as gguf-split writes them: all metadata in the first one."""
    reader, parts = (
        gguf.GGUFReader(source),
        [source.with_name(f"tiny-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)],
    )
    for number, part in enumerate(parts):
        writer = gguf.GGUFWriter(part, "llama")
        for name, field in reader.fields.items():
            if not number and name != "general.architecture" and not name.startswith("GGUF."):
                array = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(name, field.contents(), field.types[0], sub_type=array)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        for tensor in reader.tensors[number::count]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return parts


def test_a_split_file_equals_the_whole_one_and_a_missing_part_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "tiny.gguf")
    first, second, third = _split(tmp_path / "tiny.gguf", 3)
    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "root" / "whole")]) == 0
    assert main([str(second), str(tmp_path / "root" / "parts")]) == 0
    whole, parts = (load_file(tmp_path / "root" / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert AutoTokenizer.from_pretrained(tmp_path / "root" / "parts")("hi").input_ids == [71, 72]
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == ["parts", "whole"]

    third.unlink()
    assert main([str(first), str(tmp_path / "root" / "again")]) == 2
    assert third.name in capsys.readouterr().err


@pytest.mark.parametrize(
    ("capabilities", "dtype"), [({"amx_bf16": True}, torch.bfloat16), ({"avx2": True, "amx_bf16": False}, torch.float32)]
)
def test_weights_are_bfloat16_if_the_processor_supports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    write(tmp_path / "tiny.gguf")
    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "exact"), "--dtype", "float32"]) == 0
    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "fast")]) == 0

    exact, fast = (load_file(tmp_path / name / "model.safetensors") for name in ("exact", "fast"))
    assert all(torch.equal(fast[name], tensor.to(dtype)) for name, tensor in exact.items())
    assert {tensor.dtype for tensor in fast.values()} == {dtype}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "fast").dtype == dtype


def test_another_dtype_than_that_of_an_import_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "tiny.gguf")
    command = [str(tmp_path / "tiny.gguf"), str(tmp_path / "root" / "tiny")]
    assert main([*command, "--dtype", "float32"]) == 0
    assert [main(command), main([*command, "--dtype", "float32"])] == [0, 0]
    assert main([*command, "--dtype", "bfloat16"]) == 2
    assert "exists with weights in float32; remove it or choose another folder" in capsys.readouterr().err
    assert main([str(tmp_path / "root" / "tiny"), str(tmp_path / "copy"), "--dtype", "float32"]) == 2
    assert "--dtype is for GGUF files" in capsys.readouterr().err


def test_tokenizer_template_and_special_token_ids_are_imported(tmp_path: Path) -> None:
    write(tmp_path / "tiny.gguf")
    main([str(tmp_path / "tiny.gguf"), str(tmp_path / "tiny")])

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")

    assert tokenizer("héllo").input_ids == checkpoints.tokenizer()("héllo").input_ids
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi</s>"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (checkpoints.BOS, checkpoints.EOS)
    assert model.generation_config.eos_token_id == checkpoints.EOS
    assert "license: mit" in (tmp_path / "tiny" / "README.md").read_text()


def test_files_next_to_a_gguf_file_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    write(tmp_path / "alone" / "tiny.gguf")
    shutil.copytree(tmp_path / "alone", tmp_path / "source")
    foreign = {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "bos_token": "qz", "tokenizer_class": "BertTokenizer"}
    for name in (
        "config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
        "added_tokens.json",
    ):
        (tmp_path / "source" / name).write_text(json.dumps(foreign))
    (tmp_path / "source" / "chat_template.jinja").write_text("foreign")

    for name in ("alone", "source"):
        assert main([str(tmp_path / name / "tiny.gguf"), str(tmp_path / "root" / name)]) == 0

    alone, source = (
        {name: content for name, (content, _) in _snapshot(tmp_path / "root" / folder).items()} for folder in ("alone", "source")
    )
    assert alone == source


def test_a_second_import_requires_the_same_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, destination = checkpoints.save(tmp_path / "source"), tmp_path / "root" / "tiny"
    (source / "modeling.py").write_text("evil")
    arguments = [str(source), str(destination)]
    assert main(arguments) == 0
    first = _snapshot(destination)
    assert {name: content for name, (content, _) in first.items() if not name.startswith(".")} == {
        path.name: path.read_bytes() for path in source.iterdir() if path.suffix != ".py"
    }

    assert main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert _snapshot(destination) == first

    (source / "LICENSE").write_text("another")
    assert main(arguments) == 2
    assert "exists and was not imported from this source" in capsys.readouterr().err
    assert _snapshot(destination) == first


def test_a_snapshot_of_the_hub_cache_is_copied_as_files(tmp_path: Path) -> None:
    blobs = checkpoints.save(tmp_path / "models--org--tiny" / "blobs")
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(Path("../../blobs") / blob.name)

    assert main([str(snapshot), str(tmp_path / "tiny")]) == 0

    assert not any(path.is_symlink() for path in (tmp_path / "tiny").iterdir())
    assert (tmp_path / "tiny" / "model.safetensors").read_bytes() == (blobs / "model.safetensors").read_bytes()


def test_an_existing_folder_is_not_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = checkpoints.save(tmp_path / "source")
    (tmp_path / "mine").mkdir()

    assert main([str(source), str(tmp_path / "mine")]) == 2
    assert list((tmp_path / "mine").iterdir()) == []


def _rope_scaling(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)


def _extra_layer(writer: gguf.GGUFWriter) -> None:
    writer.add_tensor("blk.7.ffn_up.weight", np.ones((64, 32), np.float32))


def _missing_tensor(writer: gguf.GGUFWriter) -> None:
    del writer.tensors[0]["output_norm.weight"]


def _wider_layers(writer: gguf.GGUFWriter) -> None:
    writer.kv_data[0]["llama.feed_forward_length"].value = 96


def _not_gguf(source: Path) -> None:
    source.write_bytes(b"GGUF and then nothing of the kind")


def _truncated(source: Path, share: float) -> None:
    write(source)
    source.write_bytes(source.read_bytes()[: int(source.stat().st_size * share)])


def _pickled(source: Path) -> None:
    shutil.rmtree(checkpoints.save(source) / "model.safetensors", ignore_errors=True)
    (source / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda source: write(source, architecture="rwkv7"),
            "architecture 'rwkv7'; supported are bloom, falcon, gemma2, gemma3",
        ),
        (lambda source: write(source, edit=_rope_scaling), "rope.scaling"),
        (lambda source: write(source, edit=_extra_layer), "blk.7.ffn_up.weight"),
        (lambda source: write(source, edit=_missing_tensor), "do not match its configuration at model.norm.weight"),
        (lambda source: write(source, edit=_wider_layers), "do not match its configuration"),
        (lambda source: write(source, vocabulary=False), "contains no tokenizer"),
        (_not_gguf, "not a GGUF file"),
        (lambda source: _truncated(source, 0.1), "truncated"),
        (lambda source: _truncated(source, 0.9), "truncated"),
        (_pickled, "safetensors"),
        (lambda _: None, "does not exist"),
    ],
    ids=[
        "architecture",
        "rope-scaling",
        "extra-layer",
        "missing-tensor",
        "other-shape",
        "no-tokenizer",
        "no-gguf",
        "truncated-header",
        "truncated-tensors",
        "no-safetensors",
        "nothing",
    ],
)
def test_lossy_or_unsafe_files_are_refused_and_leave_nothing(
    make: Callable[[Path], object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "source")

    assert main([str(tmp_path / "source"), str(tmp_path / "root" / "tiny")]) == 2

    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert reason in told
    assert not (tmp_path / "root").exists() or list((tmp_path / "root").iterdir()) == []


def test_a_tokenizer_that_makes_its_library_panic_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """Like pyo3's PanicException, no Exception."""

    write(tmp_path / "tiny.gguf")
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", Mock(side_effect=Panic))

    assert main([str(tmp_path / "tiny.gguf"), str(tmp_path / "root" / "tiny")]) == 2

    assert capsys.readouterr().err == "error: tiny.gguf cannot be read (Panic).\n"
    assert list((tmp_path / "root").iterdir()) == []


def _snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
