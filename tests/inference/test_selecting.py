"""Which images a person is asked to label: constructed cases, in which it is known who needs it most."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.annotations.problems import DataError
from centernet.data import COCO, Annotation
from centernet.inference import Frame, selecting
from centernet.inference.labelling import LIST, RECORD, label_images
from centernet.inference.selecting import Seen, Selection

A, B, C = (10, 10, 50, 50), (60, 10, 90, 50), (10, 60, 40, 90)
Objects = Sequence[tuple[str, float]]
Choose = Callable[..., list[str]]


def picture(seed: int, noise: float = 0) -> np.ndarray:
    """Sixteen gray areas that no other seed has."""
    areas = np.random.default_rng(seed).integers(0, 255, (4, 4)).astype(np.float32)
    image = np.kron(areas, np.ones((25, 25), np.float32)) + noise * np.random.default_rng(999).normal(size=(100, 100))
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Write images (name → picture, objects found in it) and choose some; returns the names without suffix."""
    monkeypatch.chdir(tmp_path)

    def call(images: dict[str, tuple[np.ndarray, Objects]], number: int, *, order: int = 1, **options: Any) -> Any:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        found, names = [], sorted({kind for _, objects in images.values() for kind, _ in objects} | {"a", "b"})
        for i, (name, (pixels, objects)) in enumerate(images.items()):
            cv2.imwrite(str(folder / f"{name}.png"), pixels)
            for (kind, score), (x1, y1, x2, y2) in zip(objects, (A, B, C), strict=False):
                box = [x1, y1, x2 - x1, y2 - y1]
                found.append({"image_id": i, "category_id": names.index(kind), "bbox": box, "score": score})
        listed = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(images)]
        classes = [{"id": i, "name": name} for i, name in enumerate(names)]
        Path("found.json").write_text(json.dumps({"images": listed, "categories": classes, "annotations": found}))
        paths = [f"photos/{name}.png" for name in images][::order]
        options = {"threshold": 0.5, "output": "out", **options}
        label_images(paths, "found.json", select=number, **options)
        chosen = Path(options["output"], LIST).read_text().splitlines()
        dataset = COCO(Path(options["output"], "annotations_train.json"))
        assert [dataset.path(i).name for i in range(len(dataset))] == [Path(path).name for path in chosen]
        return [Path(path).stem for path in chosen]

    return call


def certain(number: int) -> dict[str, tuple[np.ndarray, Objects]]:
    return {f"sure{i}": (picture(i), [("a", 0.97), ("b", 0.96)]) for i in range(number)}


def test_uncertain_ones_come_first(choose: Choose) -> None:
    doubtful = {f"doubt{i}": (picture(100 + i), [("a", 0.5 + 0.04 * i), ("b", 0.45)]) for i in range(4)}
    assert set(choose(certain(20) | doubtful, 4)) == set(doubtful)
    rows = json.loads(Path("out", RECORD).read_text())["selected"]
    assert all(row["doubt"] > 1 and row["novelty"] > 0.1 for row in rows) and rows[0]["novelty"] == 1
    assert {row["classes"][0] for row in rows} <= {"a", "b"}


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_the_threshold_of_a_class_is_where_doubt_is_largest(choose: Choose) -> None:
    images = {f"{i}": (picture(i), [("a", score)]) for i, score in enumerate((0.1, 0.2, 0.5, 0.9))}
    assert choose(images, 1, threshold={"a": 0.2, "other": 0.5}) == ["1"]
    assert choose(images, 1, threshold={"b": 0.2, "other": 0.9}, output="other") == ["3"]


def test_of_one_scene_one_image_is_enough(choose: Choose) -> None:
    copies = {f"copy{i}": (picture(50, noise=i), [("a", 0.5), ("b", 0.5)]) for i in range(10)}
    others = {f"other{i}": (picture(i), [("a", 0.35), ("b", 0.65)]) for i in range(3)}
    chosen = choose(copies | others, 4)
    assert chosen[0].startswith("copy") and set(chosen[1:]) == set(others)


def test_rare_classes_have_their_turn(choose: Choose) -> None:
    common = {f"common{i}": (picture(i), [("a", 0.5)] * 3) for i in range(20)}
    rare = {f"rare{i}": (picture(100 + i), [("b", 0.5)]) for i in range(3)}
    chosen = choose(common | rare, 6)
    assert chosen[0].startswith("common") and len(set(chosen) & set(rare)) >= 2


def test_images_in_which_nothing_was_found_are_a_class(choose: Choose) -> None:
    nothing = {f"nothing{i}": (picture(100 + i), []) for i in range(30)}
    doubtful = {f"doubt{i}": (picture(i), [("a", 0.5)] * 3) for i in range(30)}
    chosen = choose(nothing | doubtful | certain(5), 10)
    assert 1 <= sum(name.startswith("nothing") for name in chosen) <= 5
    assert not any(name.startswith("sure") for name in chosen)


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_what_is_labelled_is_not_chosen_nor_what_is_like_it(choose: Choose, tmp_path: Path) -> None:
    twins = {f"twin{i}": (picture(50, noise=i), [("a", 0.5)]) for i in range(3)}
    new = {f"new{i}": (picture(i), [("a", 0.5)]) for i in range(2)}
    images = [{"id": 1, "file_name": "twin0.png"}]
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40]}]
    (tmp_path / "photos").mkdir()
    cv2.imwrite("photos/twin0.png", twins["twin0"][0])
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    Path("kept.json").write_text(json.dumps(content))
    kept = COCO("kept.json", "photos")
    assert set(choose(twins | new, 2, keep=kept)) == set(new)
    assert "twin0" not in choose(twins | new, 9, keep=kept, output="all")
    with pytest.raises(DataError, match="all 1 images are labelled already"):
        choose({"twin0": twins["twin0"]}, 2, keep=kept, output="none")
    # Of a class that is labelled often enough little is gained.
    Path("kept.json").write_text(json.dumps(content | {"annotations": [{**boxes[0], "id": i} for i in range(9)]}))
    other = {"other": (picture(7), [("b", 0.5)])}
    assert choose(twins | new | other, 1, keep=COCO("kept.json", "photos"), output="b") == ["other"]


def test_the_same_whatever_the_order(choose: Choose) -> None:
    rng = np.random.default_rng(1)
    images = {f"{i}": (picture(i), [("a", rng.uniform()), ("b", rng.uniform())]) for i in range(40)}
    first = choose(images, 8)
    assert choose(images, 8, output="again") == first == choose(images, 8, output="turned", order=-1)
    assert len(choose(images, 99, output="all")) == 40


def test_few_are_held_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "LEAST_HELD", 0)
    forgotten = list[Path]()
    selection = Selection(5, np.array([0.5, 0.5]), lambda annotation: forgotten.append(annotation.path))
    rng = np.random.default_rng(0)
    for i in range(3000):
        doubtful = i % 600 == 7
        scores = np.array([0.5 if doubtful else 0.98] * 2, np.float32)
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        path, labels = Path(f"{i}.png"), np.array([0, 1])
        empty = np.zeros((0, 4), np.float32)
        annotation = Annotation(path, i, 16, 16, empty, labels[:0], labels[:0], labels[:0] > 0, empty[:, 0])
        selection.add(Seen(Frame(pixels, path.name, path, i), annotation, labels, scores, None))
        assert len(selection._held) <= 2 * selecting.HELD * 5
    chosen = [one.location for one in selection.choose()]
    assert set(chosen) == {f"{i}.png" for i in range(7, 3000, 600)}
    assert len(set(forgotten)) == len(forgotten) == 2995 and selection.candidates == 3000


def test_frames_of_a_video_and_a_damaged_image(runtime: Any, folder: Path, tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(5):
        image = np.zeros((120, 160, 3), np.uint8)
        image[20 : 60 + 10 * i, 10 : 70 + 10 * i] = 255
        video.write(image)
    video.release()
    result = label_images(tmp_path / "clip.avi", runtime, tmp_path / "out", select=2)
    assert len(result.selected[0]) == 2 and result.selected[1] == 5
    assert len(list((tmp_path / "out/images").iterdir())) == 2
    assert not list(tmp_path.glob("out-frames*"))
    whole = (folder / "scene_1.png").read_bytes()
    (folder / "scene_1.png").write_bytes(whole[: len(whole) // 2])
    told: list[str] = []
    options: dict[str, Any] = {"select": 9, "on_error": lambda error: told.append(str(error))}
    result = label_images(folder, runtime, tmp_path / "rest", **options)
    assert result.images == 4 and result.skipped == 1 and "scene_1.png" in told[0]
