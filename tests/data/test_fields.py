"""Truth beside the boxes: keypoints lie where their dots are drawn after every transform, whichever way it mirrors."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.column import Column
from centernet.data import (
    Albumentations,
    Annotation,
    Augment,
    Columns,
    Concatenated,
    DataError,
    DetectionDataset,
    MapClasses,
    Mosaic,
    Resize,
    Sample,
    Subset,
    Synthetic,
    TorchvisionV2,
    Transform,
)
from centernet.images import LazyImage, Preprocessing
from centernet.skeleton import Skeleton
from centernet.testing import check_dataset, check_transform

SKELETON = Skeleton(("nose", "left", "right"), flip_pairs=((1, 2),))
FIELDS = (Column("keypoints", "points", (3, 3), skeleton=SKELETON), Column("weight", "value"))
DOTS = [(250, 40, 40), (40, 250, 40), (40, 40, 250)]  # of nose, left and right
INPUT = Preprocessing(size=(192, 224))


class Dotted(DetectionDataset):
    """Images with two boxes of three dots, drawn in the colours of nose, left and right; one nose is not labelled."""

    def __init__(self, count: int = 4) -> None:
        super().__init__(["thing"], num_identities=0, fields=FIELDS)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def annotation(self, index: int) -> Annotation:
        self._check(index)
        rng = np.random.default_rng(index)
        boxes = np.array([[10, 20, 90, 80], [80, 60, 170, 150]], dtype=np.float32)
        points = np.full((2, 3, 3), 2, dtype=np.float32)
        for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            across = rng.permutation(3) * (x2 - x1 - 24) / 3 + x1 + 16  # no two dots are near each other
            points[row, :, :2] = np.stack([across, rng.uniform(y1 + 12, y2 - 12, 3)], axis=1)
        points[1, 0] = 0
        none, areas = np.full(2, -1), np.ones(2, np.float32)
        data = {"keypoints": points, "weight": np.array([3, 5], dtype=np.float32)}
        return Annotation(
            Path(f"{index}.png"), index, 160, 180, boxes, np.zeros(2, np.int64), none, none > 0, areas, data=data
        )

    def image(self, index: int) -> LazyImage:
        image, truth = np.full((160, 180, 3), 128, np.uint8), self.annotation(index)
        rows, columns = np.mgrid[:160, :180]
        for points in truth.data["keypoints"]:
            for (x, y, visible), colour in zip(points, DOTS, strict=True):
                image[(np.hypot(columns + 0.5 - x, rows + 0.5 - y) < 6) & (visible > 0)] = colour
        return LazyImage.of(image)


def spread(names: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, **(names or {})}


PIPELINE = [{"class_path": "HorizontalFlip", "init_args": {"p": 0.5}}]
TRANSFORMS: dict[str, Callable[[], Transform]] = {
    "resize": Resize,
    "augment": lambda: Augment(**spread()),
    "turned": lambda: Augment(rotate=40, shear=8, aspect=1.3, vertical_flip=0.5, quarter_turns=True, **spread()),
    "mosaic": lambda: Mosaic(mosaic=0.8, mixup=0, **spread()),
    "albumentations": lambda: Albumentations([*PIPELINE, {"class_path": "Rotate", "init_args": {"border_mode": 0}}]),
    "torchvision": lambda: TorchvisionV2(
        [
            {"class_path": "RandomHorizontalFlip"},
            {"class_path": "RandomAffine", "init_args": {"degrees": 30, "translate": [0.3, 0.3]}},
            {"class_path": "SanitizeBoundingBoxes"},
        ]
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_keypoints_stay_on_their_dots(name: str) -> None:
    """A mirror makes a left of a right: the colour of a dot on the left side of a mirrored thing is the other one."""
    if name == "albumentations":
        pytest.importorskip("albumentations")
    dataset, transform = Dotted(), TRANSFORMS[name]()
    seen, mirrored, gone = 0, 0, 0
    for seed in range(30):
        sample = dataset[seed % 4]
        rng = np.random.default_rng(seed)
        result = transform.mix(sample, lambda rng=rng: dataset[int(rng.integers(4))], rng, INPUT)  # type: ignore[misc]
        points = result.data["keypoints"]
        assert points.shape == (len(result.boxes), 3, 3) and points.dtype == np.float32
        assert (points[points[..., 2] == 0] == 0).all()
        assert set(result.data["weight"].tolist()) <= {3, 5} and result.data["weight"].shape == result.labels.shape
        gone += int((points[..., 2] == 0).sum())
        for place in np.argwhere(points[..., 2] > 0).tolist():
            x, y = points[tuple(place)][:2]
            if not (4 < x < 220 and 4 < y < 188):
                continue
            colour = result.image[int(y), int(x)].astype(int)
            distances = np.abs(np.array(DOTS) - colour).sum(axis=1)
            if distances.min() > 150:  # hidden by another part of a mosaic, or on the border of one
                continue
            own = place[1]
            other = [0, 2, 1][own]
            assert distances.argmin() in (own, other)
            seen, mirrored = seen + 1, mirrored + int(distances.argmin() != own)
    assert seen > 80
    assert (mirrored > 10) == (name != "resize")
    assert gone >= 30 / 2
    if name != "mosaic":
        check_transform(transform, dataset[0], INPUT, 1)


def test_a_mirror_exchanges_pairs_and_two_mirrors_do_not() -> None:
    sample = Dotted()[0]
    once, both = (
        Augment(scale=(1, 1), translate=0, flip=1, vertical_flip=v, **spread())(sample, np.random.default_rng(0), INPUT)
        for v in (0, 1)
    )
    fit = 192 / 160
    x, y = (sample.data["keypoints"][0, :, axis] * fit for axis in (0, 1))
    half = 180 * fit / 2
    np.testing.assert_allclose(once.data["keypoints"][0, [0, 2, 1], 0], 112 + half - x, atol=1)
    np.testing.assert_allclose(once.data["keypoints"][0, [0, 2, 1], 1], y, atol=1)
    np.testing.assert_allclose(both.data["keypoints"][0, :, 0], 112 + half - x, atol=1)


def test_data_sets_made_of_others_keep_the_rows(tmp_path: Path) -> None:
    whole = Dotted()
    check_dataset(whole)
    part = Subset(whole, [2, 0])
    check_dataset(part)
    renamed = MapClasses(whole, {"thing": "animal"})
    joined = Concatenated([part, Dotted(2)])
    for dataset, index, source in ((part, 0, 2), (renamed, 3, 3), (joined, 1, 0), (joined, 2, 0)):
        assert dataset.fields == FIELDS
        for name in ("keypoints", "weight"):
            assert np.array_equal(dataset[index].data[name], whole[source].data[name])
    assert np.array_equal(pickle.loads(pickle.dumps(part))[1].data["keypoints"], whole[0].data["keypoints"])
    again = pickle.loads(pickle.dumps(whole[1]))
    assert again.fields == FIELDS and np.array_equal(again.data["keypoints"], whole[1].data["keypoints"])


def test_data_sets_with_other_fields() -> None:
    """Keypoints of a data set without them are not labelled; what has no such value, or is another, is refused."""
    keypoints = FIELDS[:1]

    def of(fields: Any, data: Any) -> DetectionDataset:
        columns = Columns.of([Dotted().annotation(0)], ())
        return DetectionDataset(["thing"], Columns(**{**vars(columns), "data": data}), fields=fields)

    points = {"keypoints": Dotted().annotation(0).data["keypoints"]}
    joined = Concatenated([of(keypoints, points), of((), {})])
    assert np.array_equal(joined.annotation(0).data["keypoints"], points["keypoints"])
    assert joined.annotation(1).data["keypoints"].shape == (2, 3, 3)
    assert not joined.annotation(1).data["keypoints"].any()
    other = (Column("keypoints", "points", (3, 3), skeleton=Skeleton(("a", "b", "c"))),)
    with pytest.raises(DataError, match=r"both have keypoints, but not alike: .* nose, left, right"):
        Concatenated([of(keypoints, points), of(other, points)])
    with pytest.raises(DataError, match="has weight for its boxes"):
        Concatenated([Dotted(), of(keypoints, points)])
    with pytest.raises(DataError, match=r"keypoints is float32 \(2, 3, 3\), expected float32 \(2, 4, 3\)"):
        of((Column("keypoints", "points", (4, 3)),), points)
    with pytest.raises(DataError, match="come with nothing, its fields say keypoints"):
        of(keypoints, {})


def test_a_transform_that_does_not_say_how_points_move() -> None:
    class Blind(Transform):
        def __call__(self, sample: Sample, rng: Any, preprocessing: Preprocessing) -> Sample:
            return sample.select(np.arange(len(sample.boxes)), image=sample.image, boxes=sample.boxes)

    assert Blind()(Synthetic(1)[0], None, INPUT).data == {}
    with pytest.raises(DataError, match="keypoints, and a transform does not say how they move"):
        Blind()(Dotted()[0], None, INPUT)


def test_a_batch_and_its_targets() -> None:
    torch = pytest.importorskip("torch")
    from centernet.data import collate
    from centernet.ops import Targets

    samples = [
        Resize()(Dotted()[0], np.random.default_rng(0), INPUT),
        Resize()(Dotted()[1], np.random.default_rng(0), INPUT),
    ]
    samples[0] = samples[0].select(
        np.array([1]), image=samples[0].image, boxes=samples[0].boxes[1:], matrix=np.eye(2, 3)
    )
    batch = collate(samples, pad_value=0).to("cpu")
    assert batch.fields == FIELDS and batch.data["keypoints"].shape == (2, 2, 3, 3)
    assert not batch.data["keypoints"][0, 1].any() and batch.data["weight"].tolist() == [[5, 0], [3, 5]]
    ignore = torch.tensor([[False, False], [True, False]])
    targets = Targets(
        batch.boxes, batch.labels, ignore, batch.counts, grid=(48, 56), stride=4, num_classes=1, data=batch.data
    )
    assert targets.object_data("weight").tolist() == [5, 5]
    assert torch.equal(targets.object_data("keypoints"), batch.data["keypoints"][[0, 1], [0, 1]])
    with pytest.raises(KeyError, match="the batch has no depth; its fields are keypoints, weight"):
        targets.object_data("depth")
    plain = collate([Resize()(Synthetic(1)[0], np.random.default_rng(0), INPUT)], pad_value=0)
    assert plain.data == {} and plain.fields == ()
