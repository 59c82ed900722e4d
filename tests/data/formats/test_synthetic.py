"""Drawn scenes: the same everywhere, and boxes that sit on what is visible, measured on the pixels themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.data import COCO, VOC, DataError, Synthetic, SyntheticAnimals
from centernet.data.animals import ANIMAL, draw_scenery, random_scenery
from centernet.data.scenes import SHAPES, Scene, SceneObject, draw
from centernet.testing import check_dataset


def test_contract() -> None:
    check_dataset(Synthetic(40))
    check_dataset(Synthetic(3, size=(48, 200), class_names=["ring", "disc"], objects=(0, 30)))


def test_scenes_depend_on_seed_and_index_alone() -> None:
    a, b = Synthetic(10, seed=3), Synthetic(100, seed=3)
    for index in (9, 0, 4):
        assert np.array_equal(a[index].image, b[index].image)
        assert np.array_equal(a.annotation(index).boxes, b[index].boxes)
        assert np.array_equal(a.image(index).read()[0], a[index].image)
    assert not np.array_equal(a[0].image, a[1].image)
    assert not np.array_equal(a[0].image, Synthetic(10, seed=4)[0].image)


def test_scenes_have_variety() -> None:
    dataset = Synthetic(300)
    annotations = [dataset.annotation(index) for index in range(300)]
    labels = np.concatenate([annotation.labels for annotation in annotations])
    assert set(labels) == set(range(6))
    assert np.bincount(labels).min() > 0.7 * np.bincount(labels).max()
    counts = [len(annotation) for annotation in annotations]
    assert min(counts) == 1 and max(counts) == 8
    ignored = np.concatenate([annotation.ignore for annotation in annotations]).mean()
    assert 0 < ignored < 0.1
    means = np.array([dataset[index].image.mean(axis=(0, 1)) for index in range(100)])
    assert (means.std(axis=0) > 20).all()


def extent(mask: Any) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def without(scene: Scene, number: int) -> Scene:
    return scene._replace(objects=[item for place, item in enumerate(scene.objects) if place != number])


def test_boxes_are_tight_around_the_pixels_that_an_object_changes() -> None:
    dataset = Synthetic(60, objects=(3, 8))
    checked = far = 0
    for index in range(len(dataset)):
        scene = dataset.scene(index)
        image, boxes, visible = draw(scene)
        for number in range(len(scene.objects)):
            # An object is where the image differs from the one without it.
            difference = cv2.absdiff(image, draw(without(scene, number))[0]).max(axis=2) > 8
            if visible[number] < 0.3 or not difference.any():
                continue
            checked += 1
            far += bool(np.abs(boxes[number] - extent(difference)).max() > 2.1)
    assert checked > 200 and far < 0.01 * checked, "but for slivers thinner than a pixel behind another object"


def test_boxes_of_known_shapes() -> None:
    background = np.zeros((100, 120, 3), dtype=np.uint8)
    square = SceneObject("square", (60, 50), 40 * np.sqrt(2), angle=np.pi / 4)
    _, boxes, visible = draw(Scene(background, [square]))
    np.testing.assert_allclose(boxes, [[40, 30, 80, 70]], atol=1e-4)
    np.testing.assert_allclose(visible, [1])
    hiding = square._replace(centre=(80, 50))
    _, boxes, visible = draw(Scene(background, [square, hiding]))
    np.testing.assert_allclose(boxes, [[40, 30, 60, 70], [60, 30, 100, 70]], atol=1.01)
    np.testing.assert_allclose(visible, [0.5, 1], atol=0.05)
    outside = square._replace(centre=(110, 100))
    _, boxes, visible = draw(Scene(background, [outside]))
    np.testing.assert_allclose(boxes, [[90, 80, 120, 100]], atol=1e-4)
    np.testing.assert_allclose(visible, [30 * 20 / 1600], atol=0.03)
    _, boxes, visible = draw(Scene(background, [square, square._replace(size=90)]))
    assert visible[0] == 0 and not boxes[0].any()


def test_boxes_of_whole_objects() -> None:
    background = np.zeros((100, 120, 3), dtype=np.uint8)
    square = SceneObject("square", (60, 50), 40 * np.sqrt(2), angle=np.pi / 4)
    scene = Scene(background, [square, square._replace(centre=(90, 50)), square._replace(centre=(200, 50))])
    np.testing.assert_allclose(draw(scene, whole=True)[1], [[40, 30, 80, 70], [70, 30, 110, 70], [0] * 4], atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_moved_object_takes_its_box_along(shape: str) -> None:
    background = np.full((120, 160, 3), 40, dtype=np.uint8)
    item = SceneObject(shape, (50.3, 60.8), 44, angle=0.7, colour=(230, 180, 20), identity=7)
    still = draw(Scene(background, [item]))[1]
    moved = draw(Scene(background, [item._replace(centre=(81.3, 53.8))]))[1]
    np.testing.assert_allclose(moved - still, [[31, -7, 31, -7]], atol=1e-4)
    assert (background == 40).all()  # drawing leaves the scene as it is


def test_hidden_objects_are_to_ignore() -> None:
    strict, loose = Synthetic(100, objects=(6, 10), max_hidden=0.3), Synthetic(100, objects=(6, 10), max_hidden=0.7)
    flags = [sum(int(dataset.annotation(i).ignore.sum()) for i in range(100)) for dataset in (strict, loose)]
    assert flags[0] > flags[1] > 0


@pytest.mark.parametrize("format", ["voc", "coco"])
def test_written_scenes_are_read_again(tmp_path: Path, format: Any) -> None:
    for split, seed in (("train", 0), ("val", 1)):
        dataset = Synthetic(12, size=(64, 80), seed=seed)
        path = dataset.write(tmp_path, format=format, split=split)
        assert path.is_file()
        names = dataset.class_names
        read = VOC(tmp_path, split, class_names=names) if format == "voc" else COCO(path)
        assert set(read.class_names) <= set(names)
        read = read.with_class_names(names)
        assert len(read) == 12 and read.problems == []
        check_dataset(read)
        for index in range(12):
            a, b = dataset[index], read[index]
            np.testing.assert_allclose(a.boxes, b.boxes, atol=0.02)
            assert np.array_equal(a.labels, b.labels) and np.array_equal(a.ignore, b.ignore)
            assert np.abs(a.image.astype(int) - b.image).mean() < 6  # JPEG


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"num_images": 0}, "num_images"),
        ({"size": (8, 64)}, "size"),
        ({"class_names": ["disk"]}, r"'disk' \(did you mean 'disc'\?\)"),
        ({"class_names": []}, "class_names"),
        ({"objects": (5, 2)}, "objects"),
        ({"object_size": (0.0, 0.2)}, "object_size"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], part: str) -> None:
    with pytest.raises(DataError, match=part):
        Synthetic(**{"num_images": 5, **options})


def test_animals_are_posed_as_their_keypoints_say() -> None:
    """A joint that is seen has its animal's colour; near limbs are brighter than far ones, whichever way it faces."""
    dataset = SyntheticAnimals(40, seed=5, size=(192, 224))
    check_dataset(SyntheticAnimals(4, objects=(0, 2)))
    seen, facing_right, hidden, bright = list[bool](), 0, 0, list[bool]()
    for index in range(len(dataset)):
        scenery = random_scenery(np.random.default_rng([5, index]), dataset.style)
        drawn = draw_scenery(scenery)
        for animal, points, box in zip(scenery.animals, drawn.keypoints, drawn.boxes, strict=True):
            visible = points[:, 2] == 2
            hidden += int((points[:, 2] == 1).sum())
            facing_right += int(animal.joints[0, 0] > animal.joints[7, 0])
            for x, y, _ in points[visible].astype(int).tolist():
                colour = drawn.image[y, x].astype(float)
                share = colour @ animal.colour / (animal.colour @ animal.colour)
                seen.append(np.abs(colour - share * animal.colour).max() < 45)  # not on an edge of soft pixels
            outside = (points[:, :2] < box[:2] - 1) | (points[:, :2] > box[2:] + 1)
            assert not outside[visible].any()
            near, far = (3, 4) if animal.joints[0, 0] < animal.joints[7, 0] else (4, 3)
            if visible[near] and visible[far]:
                places = points[[near, far], :2].astype(int)
                bright.append(np.subtract(*(drawn.image[y, x].sum(dtype=float) for x, y in places)) > 0)
    assert len(seen) > 250 and np.mean(seen) > 0.93 and hidden > 60
    assert 0.3 < facing_right / 80 < 0.7 and len(bright) > 20 and np.mean(bright) > 0.95


def test_animals_as_files(tmp_path: Path) -> None:
    dataset = SyntheticAnimals(3, seed=1)
    again = COCO(dataset.write(tmp_path, format="coco"))
    assert again.fields[0].skeleton == ANIMAL == dataset.fields[0].skeleton
    expected = [dataset.annotation(index).data["keypoints"] for index in range(3)]
    np.testing.assert_allclose(again.columns.data["keypoints"], np.concatenate(expected), atol=1e-3)
