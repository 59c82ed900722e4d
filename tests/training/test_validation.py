"""`centernet validate`: the figures of the data set's own benchmark stand beside COCO's and Pascal VOC's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.cli.main import main
from centernet.column import Column
from centernet.data import Concatenated, CrowdHuman, KITTITracking, MapClasses, RandomSubset
from centernet.detections import Detections
from centernet.inference.validation import Validation
from centernet.skeleton import Skeleton


def dataset(benchmark: str | None) -> Any:
    return SimpleNamespace(benchmark=benchmark, sequences=(), num_identities=0, fields=())


def truth(number: int, difficulty: int = 0) -> Any:
    return SimpleNamespace(
        image_id=number,
        height=100,
        width=200,
        boxes=np.array([[10, 10, 60, 60]], np.float32),
        labels=np.array([0]),
        ignore=np.array([False]),
        areas=np.array([2500.0]),
        difficulty=np.array([difficulty], np.int8),
    )


def test_figures_of_the_data_set_s_own_benchmark() -> None:
    kitti, plain = Validation(["Car"], dataset("kitti")), Validation(["Car"], dataset(None))
    for number in range(100):
        for validation in (kitti, plain):
            validation.update(truth(number, number % 2), Detections([[10, 10, 60, 60]], [0], [0.9]))
    stats, others = kitti.compute().stats, plain.compute().stats
    own = {name for name in stats if name.startswith("KITTI/")}
    assert stats.keys() - own == others.keys() and len(own) == 6
    assert stats["AP"] == others["AP"] == pytest.approx(1)
    assert stats["KITTI/Car/easy/R40"] == stats["KITTI/Car/moderate/R40"] == pytest.approx(1)
    rows = [line.split() for line in kitti.compute().table().splitlines()]
    assert ["Car", "easy", "50", "1.000", "1.000"] in rows and ["Car", "moderate", "100", "1.000", "1.000"] in rows


def test_figures_of_keypoints_where_data_and_detections_have_them() -> None:
    """They join those of other devices; a model without keypoints has none."""
    skeleton = Skeleton(("head", "tail"))
    column, field = (Column("keypoints", "points", (2, 3), skeleton=skeleton) for _ in range(2))
    data = SimpleNamespace(benchmark=None, sequences=(), num_identities=0, fields=(field,))
    pose = np.array([[[20, 20, 2], [50, 50, 1]]], np.float32)
    parts = [Validation(["cat"], data) for _ in range(2)]  # type: ignore[arg-type]
    for number, part in enumerate(parts):
        one = truth(number)
        one.data = {"keypoints": pose}
        moved = pose + number * np.array([40, 0, 0], np.float32)
        found = Detections([[10, 10, 60, 60]], [0], [0.9], columns=[column], data={"keypoints": moved})
        part.update(one, found)
    assert parts[0].compute().stats["keypoints/PCK"] == 1
    parts[1].join([part.collected() for part in parts])
    stats = parts[1].compute().stats
    assert stats["keypoints/PCK"] == 0.5 and "PCK@0.2" in parts[1].compute().table()
    plain = Validation(["cat"], data)  # type: ignore[arg-type]
    plain.update(one, Detections([[10, 10, 60, 60]], [0], [0.9]))
    assert not any(name.startswith("keypoints") for name in plain.compute().stats)


def test_parts_of_several_devices_are_joined() -> None:
    parts = [Validation(["person"], dataset("crowdhuman")) for _ in range(2)]
    for number, part in enumerate(parts):
        part.update(truth(number), Detections([[10, 10, 60, 60]], [0], [0.9]))
    parts[1].join([part.collected() for part in parts])
    assert len(parts[1]) == 2
    assert parts[1].compute().stats["CrowdHuman/MR-2"] == 0


def save_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def kitti(root: Path) -> dict[str, Any]:
    """Two frames with two cars, the second one largely occluded and truncated."""
    for frame in range(2):
        save_image(root / f"image_02/0000/{frame:06d}.png", frame)
    row = "{frame} {track} Car {truncated} {occluded} 0 {box} 0 0 0 0 0 0 0\n"
    rows = [
        row.format(frame=frame, track=track, truncated=track, occluded=track, box=box)
        for frame in range(2)
        for track, box in enumerate(("5 5 40 50", "50 10 90 60"))
    ]
    (root / "label_02").mkdir()
    (root / "label_02/0000.txt").write_text("".join(rows))
    return {"class_path": "KITTITracking", "init_args": {"root": str(root), "class_names": ["Car"]}}


def crowdhuman(root: Path) -> dict[str, Any]:
    person = {"tag": "person", "fbox": [5, 5, 35, 50], "vbox": [5, 5, 35, 50], "hbox": [5, 5, 10, 10]}
    for name in "ab":
        save_image(root / f"Images/{name}.jpg", ord(name))
    lines = [json.dumps({"ID": name, "gtboxes": [person]}) for name in "ab"]
    (root / "annotation_val.odgt").write_text("\n".join(lines))
    return {"class_path": "CrowdHuman", "init_args": {"annotations": str(root / "annotation_val.odgt")}}


def test_data_sets_made_of_others_keep_benchmark_and_difficulty(tmp_path: Path) -> None:
    for name in ("kitti", "crowdhuman"):
        (tmp_path / name).mkdir()
    cars = KITTITracking(**kitti(tmp_path / "kitti")["init_args"])
    people = CrowdHuman(**crowdhuman(tmp_path / "crowdhuman")["init_args"])
    assert cars.annotation(0).difficulty.tolist() == [0, 3] and people.annotation(0).difficulty.tolist() == [0]
    twice, both = Concatenated([RandomSubset(cars, count=1), cars]), Concatenated([cars, people])
    assert twice.benchmark == "kitti" and both.benchmark is None
    assert twice.annotation(2).difficulty.tolist() == [0, 3] and both.annotation(2).difficulty.tolist() == [0]
    assert MapClasses(cars, {"Car": "Car"}).benchmark == "kitti"
    assert MapClasses(cars, {"Car": "vehicle"}).benchmark is None  # KITTI's rules go by the names of its classes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Lightning's way with jsonargparse
@pytest.mark.filterwarnings("ignore:.*are also in data.train")
@pytest.mark.parametrize(
    ("make", "names", "heading"),
    [
        (kitti, {f"KITTI/Car/{level}/R{n}" for level in ("easy", "moderate", "hard") for n in (40, 11)}, "KITTI"),
        (crowdhuman, {"CrowdHuman/AP", "CrowdHuman/MR-2", "CrowdHuman/JI"}, "CrowdHuman"),
    ],
)
def test_validate_gives_the_figures_of_the_format(
    make: Callable[[Path], dict[str, Any]],
    names: set[str],
    heading: str,
    tiny: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make(tmp_path)
    subset = {"class_path": "RandomSubset", "init_args": {"dataset": data, "fraction": 1.0}}
    config = tiny(model__num_classes=1, data__train=data, data__val=subset)
    assert main(["validate", "--config", config, "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    figures = json.loads(Path(said.strip().splitlines()[-1].partition(": ")[2]).read_text())
    assert {name for name in figures if "/" in name} == names and {"AP", "mAP_allpoint"} <= figures.keys()
    assert heading in said.splitlines()
    if heading == "KITTI":
        assert {tuple(line.split()[:3]) for line in said.splitlines()} >= {("Car", "easy", "2"), ("Car", "hard", "2")}


def test_a_benchmark_that_nobody_knows_is_named_before_anything_runs() -> None:
    with pytest.raises(ValueError, match=r"benchmark is 'lvis': expected one of coco, voc, crowdhuman, kitti"):
        Validation(["a"], dataset("lvis"))
