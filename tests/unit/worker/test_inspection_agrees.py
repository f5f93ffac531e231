"""Unusual checkpoint folders: service and worker accept and refuse the same, for the same reason."""

import shutil
from pathlib import Path

import pytest

from service.models import headers
from service.models.outline import ModelOutline
from tests.support.altered_checkpoints import (
    Stored,
    edit_config,
    read_shard,
    said_by_service,
    said_by_worker,
    write_index,
    write_shard,
)
from tests.support.engine import families
from worker import engine
from worker.engine import Recipe, sparsify
from worker.engine.checkpoint import reader
from worker.inputs.whole_models import load_whole

SINGLE = "model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.save("llama", tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A plain llama."""
    return Path(shutil.copytree(made, tmp_path / "model"))


def accepted(folder: Path) -> None:
    """Check that service and worker describe the same model."""
    told, built = said_by_service(folder), said_by_worker(folder)
    assert isinstance(told, ModelOutline), told
    assert isinstance(built, engine.Outline), built
    assert (told.parameters, told.prunable_parameters, told.dtype) == (built.parameters, built.prunable_parameters, built.dtype)


def refused(folder: Path, *words: str) -> None:
    """Check that service and worker refuse the model, both with these words."""
    for reason in (said_by_service(folder), said_by_worker(folder)):
        assert isinstance(reason, str)
        assert all(word in reason for word in words), reason
        assert len(reason) < 400


def pruned(folder: Path) -> Path:
    target = folder.with_name("pruned")
    sparsify(folder, target, Recipe.from_dict({"criterion": "magnitude", "refinement": {"method": "none"}}), families.tokens())
    return target


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("U16", [3], 6),
        ("U32", [3], 12),
        ("U64", [3], 24),
        ("C64", [3], 24),
        ("F8_E8M0", [3], 3),
        ("F8_E4M3FNUZ", [3], 3),
        ("F6_E2M3", [4], 3),
        ("F6_E3M2", [4], 3),
        ("F4", [4, 2], 4),
    ],
)
def test_a_further_tensor_of_any_number_type_is_copied_byte_for_byte(
    folder: Path, dtype: str, shape: list[int], size: int
) -> None:
    extra = (dtype, shape, bytes(range(1, size + 1)))
    write_shard(folder / SINGLE, {"extra": extra, **read_shard(folder / SINGLE)})
    accepted(folder)
    assert read_shard(pruned(folder) / SINGLE)["extra"] == extra


@pytest.mark.parametrize(("dtype", "size"), [("F31", 8), ("U32", 12), ("F4", 8), ("F4", 4)])
def test_an_unknown_number_type_or_a_wrong_size_is_refused_by_name(folder: Path, dtype: str, size: int) -> None:
    write_shard(folder / SINGLE, {**read_shard(folder / SINGLE), "extra": (dtype, [2], bytes(size))})
    refused(folder, SINGLE, "extra")


INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
QUERY = "model.layers.1.self_attn.q_proj.weight"


def split(folder: Path) -> tuple[dict[str, Stored], dict[str, Stored]]:
    """Remove the single file and return its tensors as two halves, the first with `QUERY`."""
    tensors = read_shard(folder / SINGLE)
    (folder / SINGLE).unlink()
    first = set(sorted(tensors)[::2]) | {QUERY}
    return {name: tensors[name] for name in first}, {name: tensors[name] for name in tensors if name not in first}


def test_an_equal_copy_in_another_shard_is_accepted_and_pruned_as_well(folder: Path) -> None:
    first, second = split(folder)
    write_index(folder, {SHARDS[0]: first, SHARDS[1]: {**second, QUERY: first[QUERY]}})
    accepted(folder)
    target = pruned(folder)
    one, other = (read_shard(target / shard)[QUERY] for shard in SHARDS)
    assert one == other != first[QUERY]


@pytest.mark.parametrize("changed", ["bytes", "shape", "dtype"])
def test_copies_that_differ_are_refused_with_both_files(folder: Path, changed: str) -> None:
    first, second = split(folder)
    dtype, shape, content = first[QUERY]
    other = {
        "bytes": (dtype, shape, content[::-1]),
        "shape": (dtype, [1, *shape], content),
        "dtype": ("I32", shape, content),
    }[changed]
    write_index(folder, {SHARDS[0]: first, SHARDS[1]: {**second, QUERY: other}})
    refused(folder, QUERY, *SHARDS)


def test_a_single_numbered_shard_without_an_index_is_pruned_into_a_loadable_model(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "model-00001-of-00001.safetensors")
    accepted(folder)
    assert load_whole(pruned(folder)).config.model_type == "llama"
    assert load_whole(folder).config.model_type == "llama"


def test_shards_in_a_subfolder_are_refused_by_name(folder: Path) -> None:
    tensors = read_shard(folder / SINGLE)
    (folder / SINGLE).unlink()
    write_index(folder, {"weights/part.safetensors": tensors})
    refused(folder, "weights/part.safetensors", "subfolder", INDEX)


def test_axes_of_many_digits_are_refused(folder: Path) -> None:
    tensors = read_shard(folder / SINGLE)
    write_shard(folder / SINGLE, tensors | {"more": ("F32", [10**4000] * 10, b"")})
    refused(folder, "digits", SINGLE)


def test_more_shards_than_any_model_has_are_refused(folder: Path) -> None:
    (folder / SINGLE).unlink()
    shards = {f"{number}.safetensors": {f"model.{number}": ("F32", [0], b"")} for number in range(1001)}
    write_index(folder, shards)
    refused(folder, "more than 1000 files", INDEX)


def test_many_copies_of_tensors_are_refused(folder: Path) -> None:
    tensors: dict[str, Stored] = read_shard(folder / SINGLE)
    copies: dict[str, Stored] = {f"model.{number}": ("F32", [1], b"same") for number in range(101)}
    (folder / SINGLE).unlink()
    write_index(folder, {SHARDS[0]: tensors | copies, SHARDS[1]: copies})
    refused(folder, "than 100 tensors are in several shards")


def test_headers_are_limited_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(folder, dict(zip(SHARDS, split(folder), strict=True)))
    sizes = [int.from_bytes((folder / shard).read_bytes()[:8], "little") + 8 for shard in SHARDS]

    def limit_to(size: int) -> None:
        for module in (headers, reader):
            monkeypatch.setattr(module, "MAX_HEADER_BYTES", size)

    limit_to(sum(sizes))
    accepted(folder)
    limit_to(max(sizes))
    refused(folder, "headers", "together")


def test_a_missing_shard_is_refused_by_name(folder: Path) -> None:
    first, second = split(folder)
    write_index(folder, dict(zip(SHARDS, (first, second), strict=True)))
    (folder / SHARDS[1]).unlink()
    refused(folder, SHARDS[1])


@pytest.mark.parametrize("names_single_too", [False, True])
def test_a_single_file_besides_an_index_of_shards_is_refused_with_both_names(folder: Path, names_single_too: bool) -> None:
    stale = read_shard(folder / SINGLE)
    first, second = split(folder)
    write_index(folder, {SHARDS[0]: first, SINGLE if names_single_too else SHARDS[1]: second})
    if not names_single_too:
        write_shard(folder / SINGLE, stale)
    refused(folder, f"{SINGLE} and", INDEX, "transformers loads")


def test_an_index_of_the_single_file_is_accepted(folder: Path) -> None:
    write_index(folder, {SINGLE: read_shard(folder / SINGLE)})
    accepted(folder)


@pytest.mark.parametrize("named", ["index", "file"])
def test_weights_that_the_config_names_are_the_ones_pruned(folder: Path, named: str) -> None:
    tensors = read_shard(folder / SINGLE)
    stale = {name: (dtype, shape, bytes(len(content))) for name, (dtype, shape, content) in tensors.items()}
    write_index(folder, {"own.safetensors": tensors})
    (folder / INDEX).rename(folder / "own.safetensors.index.json")
    write_shard(folder / SINGLE, stale)
    edit_config(folder, transformers_weights="own.safetensors" + (".index.json" if named == "index" else ""))
    accepted(folder)
    target = pruned(folder)
    state = load_whole(target).state_dict()
    assert 0 < state[QUERY].count_nonzero() < state[QUERY].numel()
    assert not (target / SINGLE).exists()


@pytest.mark.parametrize("named", ["../own.safetensors", "pytorch_model.bin", 7, "absent.safetensors"])
def test_named_weights_that_are_no_safetensors_of_the_folder_are_refused(folder: Path, named: object) -> None:
    edit_config(folder, transformers_weights=named)
    refused(folder, str(named))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model_type": "bert"}, "is_decoder"),
        ({"model_type": "xlm-roberta", "is_decoder": False}, "is_decoder"),
        ({"is_causal": False}, "is_causal"),
        ({"text_config": {"use_bidirectional_attention": "all"}}, "use_bidirectional_attention"),
    ],
)
def test_a_model_whose_tokens_see_later_ones_is_refused(folder: Path, changes: dict[str, object], word: str) -> None:
    edit_config(folder, **changes)
    refused(folder, word, "causal language model")


@pytest.mark.parametrize("name", ["quantize_config.json", "quant_config.json", "hf_quant_config.json"])
def test_a_file_of_a_quantiser_marks_a_quantised_model(folder: Path, name: str) -> None:
    (folder / name).write_text("{}")
    refused(folder, "quantised", name, "bfloat16")


@pytest.mark.parametrize("key", ["quantization_config", "quantization", "compression_config"])
def test_a_key_of_the_config_marks_a_quantised_model(folder: Path, key: str) -> None:
    for changes in ({key: {"bits": 4}}, {key: None, "text_config": {key: {"bits": 4}}}):
        edit_config(folder, **changes)
        refused(folder, "quantised", key, "bfloat16")


@pytest.mark.parametrize(
    ("name", "dtype", "size"),
    [
        (QUERY, "F8_E4M3", 4096),
        (QUERY, "I8", 4096),
        (QUERY, "U32", 16384),
        ("model.layers.0.mlp.up_proj.qweight", "I32", 16384),
        ("model.layers.0.mlp.up_proj.weight_scale_inv", "F32", 16384),
        ("model.layers.0.mlp.up_proj.SCB", "F32", 16384),
        ("model.layers.0.mlp.experts.up_proj_blocks", "U8", 4096),
    ],
)
def test_tensors_of_a_quantiser_mark_a_quantised_model(folder: Path, name: str, dtype: str, size: int) -> None:
    write_shard(folder / SINGLE, {**read_shard(folder / SINGLE), name: (dtype, [64, 64], bytes(size))})
    refused(folder, "quantised", name, dtype, "bfloat16")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("._config.json", b"\0\5\x16\7"),
        ("deepspeed_config.json", b'{"stage": 3} // offload'),
        ("ds_config.json", b'{"auto_map": {}}'),
        ("generation_config.json", b"{broken"),
    ],
)
def test_files_that_steer_no_loading_do_not_hinder_it(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    accepted(folder)
    assert load_whole(pruned(folder)).config.model_type == "llama"


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_missing_from_the_files_is_refused(folder: Path, layer: int) -> None:
    tensors = {name: each for name, each in read_shard(folder / SINGLE).items() if f".layers.{layer}." not in name}
    write_shard(folder / SINGLE, tensors)
    refused(folder, f"layer {layer}", "1 of 3", "config.json")


def test_a_config_with_more_layers_than_the_files_is_refused(folder: Path) -> None:
    edit_config(folder, num_hidden_layers=6)
    refused(folder, "3 of 6", "layer 3")


def test_a_checkpoint_without_a_head_is_accepted_and_said_to_have_none(folder: Path) -> None:
    tensors = {name: each for name, each in read_shard(folder / SINGLE).items() if name != "lm_head.weight"}
    for changes in ({"architectures": ["LlamaModel"]}, {"architectures": ["LlamaForSequenceClassification"]}):
        write_shard(folder / SINGLE, tensors | {"score.weight": ("F32", [1, 64], bytes(256))})
        edit_config(folder, **changes)
        told, built = said_by_service(folder), said_by_worker(folder)
        assert isinstance(told, ModelOutline)
        assert isinstance(built, engine.Outline)
        assert (told.has_head, built.has_head) == (False, False)
    assert (pruned(folder) / SINGLE).is_file()


def test_a_tied_checkpoint_without_a_head_has_one(tmp_path: Path) -> None:
    folder = families.save("llama_tied", tmp_path / "model")
    told, built = said_by_service(folder), said_by_worker(folder)
    assert isinstance(told, ModelOutline)
    assert isinstance(built, engine.Outline)
    assert told.has_head
    assert built.has_head


def test_leftover_names_of_code_are_accepted_and_dropped(folder: Path) -> None:
    edit_config(folder, auto_map={"AutoModelForCausalLM": "modeling.Own", "AutoConfig": "configuration.Own"})
    for name in ("tokenizer_config.json", "processor_config.json", "generation_config.json"):
        (folder / name).write_text('{"auto_map": {"AutoTokenizer": ["tokenization.Own", null]}}')
    (folder / "modeling.py").write_text("raise SystemExit('code was run')")
    accepted(folder)
    target = pruned(folder)
    assert load_whole(target).config.model_type == "llama"
    assert not (target / "modeling.py").exists()
    assert not any("auto_map" in path.read_text() for path in target.glob("*.json"))


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation"])
def test_code_of_the_model_is_refused(folder: Path, key: str) -> None:
    edit_config(folder, model_type="llama" if key.startswith("_") else "own", **{key: "someone/kernel"})
    refused(folder, key, "never run")


def test_an_unknown_type_is_refused(folder: Path) -> None:
    edit_config(folder, model_type="unheard-of")
    refused(folder, "unheard-of", "transformers")


def test_an_adapter_beside_a_model_is_left_out_and_one_alone_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    write_shard(folder / "adapter_model.safetensors", {"base_model.lora_A.weight": ("F32", [1], bytes(4))})
    accepted(folder)
    assert not list(pruned(folder).glob("adapter*"))
    (folder / SINGLE).unlink()
    refused(folder, "adapter", "merge")


def test_links_of_a_hub_cache_are_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--org--tiny" / "blobs").mkdir()
    for path in folder.iterdir():
        blob = path.rename(tmp_path / "models--org--tiny" / "blobs" / f"blob-{path.name}")
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    refused(snapshot, "config.json", "link", "dsnot models import")
    refused(tmp_path / "models--org--tiny", "snapshots/abc", "dsnot models import")


def test_mixed_dtypes_are_told_alike(folder: Path) -> None:
    tensors = read_shard(folder / SINGLE)
    halves = {name: ("BF16", shape, content[::2]) for name, (dtype, shape, content) in tensors.items() if "norm" not in name}
    write_shard(folder / SINGLE, {**tensors, **halves})
    for stated in (None, "float32"):
        edit_config(folder, dtype=stated)
        accepted(folder)
