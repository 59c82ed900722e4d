"""Soft suppression against the original's compiled code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.inference.soft_nms import merge_scales, soft_nms
from tests.foreign.published import arrays as arrays_of

METHODS = ("hard", "linear", "gaussian")


@pytest.fixture(scope="module")
def arrays(shared: Path) -> Any:
    return arrays_of(shared / "data/oracles/upstream/soft_nms.npz")


@pytest.mark.parametrize("case", ["n0", "n1", "n12", "n60"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_method(arrays: Any, case: str, number: int) -> None:
    given = arrays[f"{case}.boxes"]
    rows, scores, count = soft_nms(given[:, :4], given[:, 4], method=METHODS[number])
    check(arrays, f"{case}.method{number}", given, rows, scores, count)


def test_other_options_and_rows_with_more_numbers(arrays: Any) -> None:
    given = arrays["n60.boxes"]
    options = {"iou_threshold": 0.3, "score_threshold": 0.3}
    rows, scores, count = soft_nms(given[:, :4], given[:, 4], method="linear", **options)
    check(arrays, "n60.method1_Nt0p3_thr0p3", given, rows, scores, count)
    given = arrays["pose39.boxes"]
    rows, scores, count = soft_nms(given[:, :4], given[:, 4])
    check(arrays, "pose39.method2", given, rows, scores, count)


def check(arrays: Any, name: str, given: Any, rows: Any, scores: Any, count: int) -> None:
    expected = arrays[f"{name}.out"]
    assert count == arrays[f"{name}.count"]
    found = given[rows].copy()
    found[:, 4] = scores
    np.testing.assert_allclose(found[:count], expected[:count], rtol=1e-5, atol=1e-4)


def test_scales_are_merged_as_the_original_does(shared: Path) -> None:
    arrays = arrays_of(shared / "data/oracles/upstream/decode.npz")
    for name, inputs in (("merge2.out", ("merge2.in0", "merge2.in1")), ("merge1_nms.out", ("merge2.in0",))):
        given = np.concatenate([arrays[key] for key in inputs])
        rows, scores = merge_scales(given[:, :4], given[:, 5].astype(np.int64), given[:, 4], 100)
        found = np.concatenate([given[rows, :4], scores[:, None], given[rows, 5:]], axis=1)
        expected = arrays[name]
        order = np.lexsort((expected[:, 0], -expected[:, 4].round(5)))
        mine = np.lexsort((found[:, 0], -found[:, 4].round(5)))
        np.testing.assert_allclose(found[mine], expected[order], rtol=1e-5, atol=1e-4)
