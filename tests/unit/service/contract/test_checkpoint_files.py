"""Files beside a model's weights: which an artifact takes over, and which it leaves out and says so."""

import pytest

from service.contract.checkpoint_files import companions, files_to_fetch, left_out_sentence, reason_against_adapter

WEIGHTS = ["model.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        "LICENSE",
        "NOTICE.md",
        "additional_chat_templates/x.jinja",
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "modules.json",
        "source.spm",
        "tokenizer.model.v3",
        "tekken.json",
        "vocab.bpe",
        "bpe.codes",
        "assets/figure.png",
        "params.txt",
    ],
)
def test_a_file_that_is_no_weight_is_a_companion(name: str) -> None:
    assert companions([*WEIGHTS, name], WEIGHTS).names == (name,)
    assert name in files_to_fetch([*WEIGHTS, name])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pytorch_model.bin", "other weights"),
        ("pytorch_model.bin.index.json", "other weights"),
        ("model.fp16.SAFETENSORS", "other weights"),
        ("2_Dense/pytorch_model.bin", "other weights"),
        ("consolidated.safetensors", "other weights"),
        ("params.json", "other weights"),
        ("modeling.py", "code"),
        ("weights.tar.gz", "archive"),
        ("adapter_config.json", "adapter"),
        ("adapter_model.safetensors", "adapter"),
        ("hf_quant_config.json", "of a quantiser"),
        ("report.html", "about other weights"),
        ("recipe.json", "about other weights"),
        ("SHA256SUMS", "about other weights"),
        ("model.packed", "about other weights"),
        ("*.json", "name that an artifact cannot have"),
        ("a\u3000b.json", "name that an artifact cannot have"),
    ],
)
def test_a_file_that_is_left_out_has_a_reason(name: str, reason: str) -> None:
    found = companions([*WEIGHTS, name], WEIGHTS)
    assert (found.names, found.left_out) == ((), {name: reason})
    assert (name in files_to_fetch([*WEIGHTS, name])) == (reason == "of a quantiser")  # a sign that the weights are quantised


def test_a_folder_with_other_weights_is_left_out_as_a_whole() -> None:
    found = companions(["onnx/model.onnx", "onnx/config.json", "original/params.json", "original/tokenizer.model"])
    assert found.left_out == {"onnx/": "other weights"}
    assert found.names == ("original/params.json", "original/tokenizer.model")


@pytest.mark.parametrize("name", [".gitattributes", ".cache/x.json", "README.md"])
def test_hidden_files_and_the_card_are_neither_taken_nor_listed(name: str) -> None:
    assert companions([name]) == companions([])


def test_the_sentence_names_a_few_files_of_each_reason() -> None:
    left_out = {f"{number}.py": "code" for number in range(9)} | {"a\u3000.json": "odd"}
    assert left_out_sentence(left_out) == (
        "Files of the model that the artifact leaves out: 0.py, 1.py, 2.py, 3.py, 4.py and 4 more (code); 'a\\u3000.json' (odd)."
    )
    assert left_out_sentence({}) is None


@pytest.mark.parametrize(
    ("names", "is_adapter"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], True),
        (["adapter_config.json", "config.json"], True),
        (["adapter_config.json", "config.json", "model.safetensors"], False),
        (["config.json", "model.safetensors"], False),
    ],
)
def test_an_adapter_without_its_base_is_known_by_its_files(names: list[str], is_adapter: bool) -> None:
    assert (reason_against_adapter(names) is not None) is is_adapter
