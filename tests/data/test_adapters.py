"""Pipelines of albumentations and torchvision in place of the package's own augmentation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.data import Albumentations, DataError, Sample, Synthetic, TorchvisionV2, Transform
from centernet.images import Preprocessing
from centernet.testing import check_transform

SAME = Preprocessing(size=(96, 96))

FLIP: dict[type[Transform], dict[str, Any]] = {
    Albumentations: {"class_path": "HorizontalFlip", "init_args": {"p": 1.0}},
    TorchvisionV2: {"class_path": "torchvision.transforms.v2.RandomHorizontalFlip", "init_args": {"p": 1.0}},
}
RANDOM: dict[type[Transform], list[dict[str, Any]]] = {
    Albumentations: [
        {"class_path": "RandomResizedCrop", "init_args": {"size": [120, 100], "scale": [0.2, 0.5]}},
        {"class_path": "albumentations.Affine", "init_args": {"rotate": [-20, 20]}},
        {"class_path": "OneOf", "init_args": {"p": 0.5, "transforms": [FLIP[Albumentations], {"class_path": "CLAHE"}]}},
        {"class_path": "ColorJitter"},
    ],
    TorchvisionV2: [
        {"class_path": "RandomIoUCrop", "init_args": {"min_scale": 0.3}},
        {"class_path": "RandomZoomOut"},
        {"class_path": "RandomApply", "init_args": {"transforms": [FLIP[TorchvisionV2]]}},
        {"class_path": "ColorJitter", "init_args": {"brightness": 0.3}},
        {"class_path": "SanitizeBoundingBoxes"},
    ],
}
pytestmark = pytest.mark.parametrize("adapter", [Albumentations, TorchvisionV2])


@pytest.fixture(autouse=True)
def _installed(adapter: Any) -> None:
    if adapter is Albumentations:
        pytest.importorskip("albumentations")


def numbered(index: int = 0) -> Sample:
    sample = Synthetic(30, size=(96, 96), objects=(6, 10))[index]
    sample.ids = np.arange(len(sample.ids)) + 50
    sample.ignore = sample.ids % 3 == 0
    return sample


def test_boxes_are_mirrored_with_the_picture(adapter: Any) -> None:
    sample = numbered()
    result = adapter([FLIP[adapter]])(sample, np.random.default_rng(0), SAME)
    assert np.array_equal(result.image, sample.image[:, ::-1])
    np.testing.assert_allclose(
        result.boxes,
        np.stack([96 - sample.boxes[:, 2], sample.boxes[:, 1], 96 - sample.boxes[:, 0], sample.boxes[:, 3]], axis=1),
        atol=1e-3,
    )
    assert np.array_equal(result.ids, sample.ids) and np.array_equal(result.labels, sample.labels)


def test_surviving_boxes_keep_their_ids_and_flags(adapter: Any) -> None:
    transform, dropped = adapter(RANDOM[adapter]), 0
    for index in range(15):
        sample = numbered(index)
        check_transform(transform, sample, Preprocessing(size=(64, 128)), 6)
        result = transform(sample, np.random.default_rng(index), SAME)
        rows = result.ids - 50
        dropped += len(sample.ids) - len(rows)
        assert len(set(rows)) == len(rows)
        assert np.array_equal(result.labels, sample.labels[rows])
        assert np.array_equal(result.ignore, sample.ignore[rows])
    assert dropped > 0


def test_chance_is_that_of_the_generator_alone(adapter: Any) -> None:
    transform, sample = adapter(RANDOM[adapter]), numbered()
    results = [transform(sample, np.random.default_rng(seed), SAME).image for seed in (1, 2, 1)]
    assert np.array_equal(results[0], results[2]) and not np.array_equal(results[0], results[1])


def test_pictures_without_boxes_pass(adapter: Any) -> None:
    sample = numbered()
    none = sample.select(np.zeros(0, dtype=int), image=sample.image, boxes=np.zeros((0, 4), dtype=np.float32))
    pipeline = [spec for spec in RANDOM[adapter] if spec["class_path"] != "RandomIoUCrop"]
    result = adapter(pipeline)(none, np.random.default_rng(0), SAME)
    assert result.boxes.shape == (0, 4) and result.image.shape == (96, 96, 3)


def test_colours_alone_leave_the_boxes(adapter: Any) -> None:
    sample = numbered()
    jitter = {"class_path": "ColorJitter", "init_args": {"brightness": [0.5, 0.7]}}
    certain = {Albumentations: {"p": 1.0}, TorchvisionV2: {}}[adapter]
    result = adapter([{**jitter, "init_args": {**jitter["init_args"], **certain}}])(
        sample, np.random.default_rng(0), SAME
    )
    np.testing.assert_allclose(result.boxes, sample.boxes, atol=1e-3)
    assert np.array_equal(result.ids, sample.ids) and not np.array_equal(result.image, sample.image)


def test_a_file_may_hold_the_list(adapter: Any, tmp_path: Path) -> None:
    name = FLIP[adapter]["class_path"]
    (tmp_path / "pipeline.yaml").write_text(f"- {{class_path: {name}, init_args: {{p: 1.0}}}}\n")
    sample = numbered()
    result = adapter(str(tmp_path / "pipeline.yaml"))(sample, np.random.default_rng(0), SAME)
    assert np.array_equal(result.image, sample.image[:, ::-1])
    with pytest.raises(DataError, match=r"none.yaml: cannot be read"):
        adapter(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("pipeline", "part"),
    [
        ([{"class_path": "RandomHorizontalFlop"}], r"transforms\[0\]: no class RandomHorizontalFlop.*did you mean"),
        ([{"class_path": "nowhere.Flip"}], r"no class nowhere.Flip"),
        (
            [{"class_path": "ColorJitter", "init_args": {"brightness": -7}}],
            r"transforms\[0\]: ColorJitter does not take",
        ),
        ([{"class_path": "ColorJitter", "arguments": {}}], "unknown key arguments"),
        (["ColorJitter"], r"transforms\[0\]: expected \{class_path, init_args\}, got 'ColorJitter'"),
        ({"class_path": "ColorJitter"}, "expected a list"),
    ],
)
def test_wrong_pipelines_are_named(adapter: Any, pipeline: Any, part: str) -> None:
    with pytest.raises(DataError, match=part):
        adapter(pipeline)


def test_normalised_pictures_are_refused(adapter: Any) -> None:
    torch = pytest.importorskip("torch")
    wrong: dict[Any, Any] = {
        Albumentations: {"class_path": "Normalize"},
        TorchvisionV2: {"class_path": "ToDtype", "init_args": {"dtype": torch.float32, "scale": True}},
    }
    with pytest.raises(DataError, match=r"float32.*leave out transforms that normalise"):
        adapter([wrong[adapter]])(numbered(), np.random.default_rng(0), SAME)


def test_a_missing_package_names_the_extra(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "albumentations" if adapter is Albumentations else "torchvision.transforms.v2"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"needs (albumentations|torchvision): pip install"):
        adapter([])
