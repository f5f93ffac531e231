"""Headers of safetensors files from anywhere: what no file can have is refused, quickly."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from service.kit.safetensors_headers import InvalidHeader, TensorEntry, header_length, parse_header


def entry(dtype: Any = "F32", shape: Any = (2,), data_offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


def parsed(header: Any) -> dict[str, TensorEntry]:
    return parse_header(json.dumps(header).encode())


def test_a_header_of_the_reference_implementation_is_read() -> None:
    content = save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.int8)}, metadata={"format": "pt"})
    length = header_length(content[:8], len(content))
    tensors = parse_header(content[8 : 8 + length])
    assert tensors == {"a": TensorEntry("F32", (2, 3), 0, 24), "b": TensorEntry("I8", (4,), 24, 28)}


@pytest.mark.parametrize("length", [0, 1, 93, 2**63])
def test_a_length_outside_of_the_file_is_refused(length: int) -> None:
    with pytest.raises(InvalidHeader, match="header length"):
        header_length(length.to_bytes(8, "little"), 100)


def test_a_length_above_the_limit_is_refused() -> None:
    assert header_length((10**8).to_bytes(8, "little"), 2**40) == 10**8
    with pytest.raises(InvalidHeader, match="header length"):
        header_length((10**8 + 1).to_bytes(8, "little"), 2**40)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidHeader, match=r"is (not|nested)"):
        parse_header(content)


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        "F32",
        {},
        entry(dtype=["F32"]),
        entry(shape=None),
        entry(shape="2"),
        entry(shape=[2**63]),
        entry(shape=[2] + [1] * 64),
        entry(data_offsets=[2**63, 2**63 + 8]),
        entry(shape=[2.0]),
        entry(shape=[-2]),
        entry(shape=[True, 2]),
        entry(data_offsets=[0]),
        entry(data_offsets="08"),
        entry(data_offsets=[8, 0]),
        entry(data_offsets=[0, 9]),
        entry(dtype="unknown", data_offsets=[8, 0]),
    ],
)
def test_an_entry_that_no_tensor_can_have_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(InvalidHeader, match=r"\ba\.weight\b"):
        parsed({"a.weight": wrong})


def test_a_data_type_of_unknown_width_may_have_any_size() -> None:
    assert parsed({"a": entry(dtype="F4", data_offsets=[0, 1])}) == {"a": TensorEntry("F4", (2,), 0, 1)}


def test_axes_of_64_bits_are_multiplied() -> None:
    with pytest.raises(InvalidHeader, match="does not match its shape"):
        parsed({"a": entry(shape=[2**62] * 64)})
    assert parsed({"a": entry(shape=[2**62] * 63 + [0], data_offsets=[0, 0])})["a"].start == 0


def test_integers_of_many_digits_are_refused_before_they_are_multiplied() -> None:
    with pytest.raises(InvalidHeader, match="more than 64 digits"):
        parsed({"a": entry(shape=[10**64])})


def test_more_values_than_any_checkpoint_has_are_refused() -> None:
    with pytest.raises(InvalidHeader, match="2,000,000 values"):
        parse_header(b'{"a": [' + b"[]," * 1_000_000 + b"[]]}")


@pytest.mark.parametrize("name", ["x" * 1001, "a\nb", "\x1b[31m"])
def test_names_that_no_tensor_has_are_refused(name: str) -> None:
    with pytest.raises(InvalidHeader, match="not printable or longer") as caught:
        parsed({name: entry()})
    assert len(str(caught.value)) < 200
