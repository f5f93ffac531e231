"""The masks of the released DSnoT code, on the rows on which it follows its own rules."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.engine.activations.statistics import InputStatistics
from worker.engine.methods.dsnot import grow_and_prune
from worker.engine.methods.patterns import select_pruned

FILES = ["a_16x32", "b_64x128", "c_48x96_outliers"]
pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif("DSNOT_REFERENCE_DIR" not in os.environ, reason="DSNOT_REFERENCE_DIR is not set"),
]


def read(name: str) -> Any:
    return np.load(Path(os.environ["DSNOT_REFERENCE_DIR"]) / "golden" / f"{name}.npz", allow_pickle=False)


def array(golden: Any, name: str) -> Tensor:
    return torch.from_numpy(golden[name]).float()


@pytest.mark.parametrize("name", FILES)
def test_masks_agree_on_every_clean_row(name: str) -> None:
    golden = read(name)
    weight = array(golden, "W")
    rows, width = weight.shape
    compared = 0
    for index, case in enumerate(json.loads(str(golden["meta_json"]))):
        if case["error"]:
            continue
        expected = np.unpackbits(golden["masks_packed"][index], axis=-1, count=width).astype(bool)
        clean = np.unpackbits(golden["rows_clean"][index], count=rows).astype(bool)
        np.testing.assert_array_equal(mask_of(case, golden).numpy()[clean], expected[clean], err_msg=str(case))
        compared += int(clean.sum())
    assert compared > 1000


def mask_of(case: dict[str, Any], golden: Any) -> Tensor:
    weight = array(golden, "W")
    by_inputs = weight.abs() * array(golden, "scaler_row").sqrt()
    initial = by_inputs if case["initial"] == "wanda" else weight.abs()
    if case["sparsity_type"] == "unstructured":
        pattern, pruned = None, select_pruned(initial, sparsity=case["ratio"])
    else:
        n, m = map(int, case["sparsity_type"].split(":"))
        pattern, pruned = (n, m), select_pruned(initial, pattern=(n, m))
    if not case["max_cycle"]:
        return pruned
    return grow_and_prune(
        weight,
        pruned,
        mean=array(golden, "sum_metric_row"),
        variance=array(golden, "var"),
        saliency=initial if pattern else by_inputs,
        max_cycles=case["max_cycle"],
        threshold=case["threshold"],
        variance_power=case["pow_var"],
        stop_on_sign_change=bool(case["same_sign"]),
        pattern=pattern,
    )


@pytest.mark.parametrize("name", FILES)
def test_statistics_match_those_of_the_released_code(name: str) -> None:
    golden = read(name)
    inputs = array(golden, "X")
    measured = InputStatistics(inputs.shape[2], device=torch.device("cpu"), with_gram=False, examples_per_sample=0)
    measured.add(inputs)
    length = inputs.shape[1]
    for ours, theirs in [
        (measured.mean, "mean"),
        (measured.mean * length, "sum_metric_row"),
        (measured.norm.square() * length, "scaler_row"),
        (measured.within_variance, "var"),
    ]:
        torch.testing.assert_close(ours.float(), array(golden, theirs), rtol=1e-5, atol=1e-5)
