"""The published resize rules against what the projects' own code made of the same images."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.images import Preprocessing
from centernet.images.published import affine_matrix
from tests.foreign.published import arrays as arrays_of

ORIGINAL = Preprocessing(
    size=(128, 128),
    pad_value=0,
    channels="bgr",
    mean=(0.408, 0.447, 0.470),
    std=(0.289, 0.274, 0.278),
)


@pytest.fixture(scope="module")
def arrays(shared: Path) -> Any:
    return arrays_of(shared / "data/oracles/upstream/preprocess.npz")


@pytest.mark.parametrize("scale", [1.0, 0.75, 1.25])
@pytest.mark.parametrize("rule", ["fix_res", "keep_res"])
@pytest.mark.parametrize("image", ["a", "b"])
def test_the_original_s_input(arrays: Any, image: str, rule: str, scale: float) -> None:
    name = f"{image}.{'fix128' if rule == 'fix_res' else 'keep31'}.s{scale}"
    bgr = arrays[f"{image}.image_bgr"]
    preprocessing = replace(ORIGINAL, resize=rule, scale=scale)
    found = preprocessing(np.ascontiguousarray(bgr[..., ::-1]))
    assert tuple(4 * arrays[f"{name}.out_hw"]) == preprocessing.output_size(bgr.shape[:2]) == found.shape[:2]
    matrix = preprocessing.matrix(bgr.shape[:2])
    resized = np.diag([1 / scale, 1 / scale, 1])
    np.testing.assert_allclose(matrix @ resized, arrays[f"{name}.trans_input"], atol=1e-9)
    installed, other = "", "_cv4"
    if cv2.__version__.startswith("4."):
        installed, other = other, installed
    levels = {kind: arrays[f"{name}.warped_u8{kind}"] for kind in ("", "_cv4") if f"{name}.warped_u8{kind}" in arrays}
    differences = {kind: np.abs(found[..., ::-1].astype(int) - level).max() for kind, level in levels.items()}
    assert differences.get(installed, differences[""]) == 0
    assert differences.get(other, 0) <= 4
    if f"{name}.images" in arrays and installed == "":
        np.testing.assert_allclose(preprocessing.normalize(found[None]), arrays[f"{name}.images"], atol=1e-5)


def test_the_original_s_affine_maps(shared: Path) -> None:
    arrays = arrays_of(shared / "data/oracles/upstream/decode.npz")
    rows = zip(*(arrays[f"affine.{name}"] for name in ("c", "s", "rot", "out_wh", "trans", "trans_inv")), strict=True)
    for center, side, degrees, out_wh, expected, inverse in rows:
        found = affine_matrix(tuple(center), float(side[0]), (int(out_wh[1]), int(out_wh[0])), degrees=float(degrees))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        whole = np.linalg.inv(np.vstack([found, [0, 0, 1]]))[:2]
        np.testing.assert_allclose(whole, inverse, rtol=1e-4, atol=1e-4)


def test_tensorflow_s_input(shared: Path) -> None:
    folder = shared / "data/oracles/tensorflow"
    arrays = arrays_of(folder / "preprocess.npz")
    preprocessing = Preprocessing(resize="tensorflow", pad_value=0)
    for height, width, new_height, new_width in arrays["sizes512"].tolist():
        matrix = preprocessing.matrix((height, width))
        np.testing.assert_allclose(matrix, [[new_width / width, 0, 0], [0, new_height / height, 0]])
    for name in "abcde":
        shape = (*arrays[f"{name}.image_hw"], 3)
        image = np.random.default_rng(zlib.crc32(f"image:{name}".encode())).integers(0, 256, shape).astype(np.uint8)
        found = replace(preprocessing, size=(64, 64))(image)
        assert np.abs(found - arrays[f"{name}.resized"]).max() <= 0.5 + 1e-3  # ours are whole levels
