"""Estimated memory of weights in use."""

from dsnot_runtime import SparseConfig
from service.contract.serving_memory import LEAST_ZEROS, serving_memory


def test_pruned_matrices_take_bits_and_kept_values() -> None:
    found = serving_memory(parameters=1000, prunable=800, bytes_per_parameter=2, zeros=0.6)
    assert found.dense == 2000
    assert found.packed == 400 + 740  # 0.4 x 2 + 1/8 bytes a weight
    assert found.packed_int8 == 400 + 420


def test_matrices_with_few_zeros_stay_dense() -> None:
    assert SparseConfig().min_zeros == LEAST_ZEROS
    found = serving_memory(parameters=1000, prunable=800, bytes_per_parameter=2, zeros=0.2)
    assert found.packed == found.packed_int8 == found.dense
