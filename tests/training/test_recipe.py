"""What `finetune` starts from, and how it trains that further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import build_centernet
from centernet.annotations.keypoints import keypoint_column
from centernet.data import DetectionDataset
from centernet.data.columns import Columns
from centernet.data.sample import Annotation
from centernet.skeleton import Skeleton
from centernet.training.recipe import choose_start, finetuning


def data_of(sides: list[float], labels: list[int], names: list[str], images: int = 1) -> DetectionDataset:
    """Images of 416×416 with squares."""
    boxes = np.array([[0, 0, side, side] for side in sides], np.float32)
    rows = np.array(labels), np.full(len(labels), -1), np.zeros(len(labels), np.bool_), boxes[:, 2] ** 2
    annotations = [Annotation(Path(f"{i}.jpg"), i, 416, 416, boxes, *rows) for i in range(images)]
    return DetectionDataset(names, Columns.of(annotations))


@pytest.mark.parametrize(
    ("sides", "answer", "start", "words"),
    [
        ([20, 20], [[0.6], [0.1]], "coco-lite", "which knows what is alike: person .60 on a, person .10 on b"),
        ([90, 90], [[0.0], [0.1]], "coco-lite", "objects are large enough"),
        (
            [90, 30, 90, 90],
            [[0.0], [0.1]],
            "voc-lite",
            "objects of b have 30 of the 416 pixels of its input or less, 40",
        ),
    ],
)
def test_the_start_goes_by_what_answers_then_by_sizes(
    sides: list[float], answer: list[list[float]], start: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = torch.zeros(2, 80)
    wide[:, :1] = torch.tensor(answer)
    monkeypatch.setattr("centernet.training.recipe.answers", lambda *_: wide)
    choice = choose_start(data_of(sides, [0, 1, 0, 0][: len(sides)], ["a", "b"]))
    assert choice.model == start and words in choice.why


class Source:
    path, splits = Path("data"), ("train", "val")

    def section(self, split: str) -> dict[str, Any]:
        return {"class_path": "VOC", "init_args": {"split": split}}


def test_more_images_let_more_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centernet.training.recipe.answers", lambda *_: torch.full((1, 80), 0.5))

    def plan(images: int, **options: Any) -> dict[str, Any]:
        source: Any = Source()
        return finetuning(source, data_of([200.0], [0], ["a"], images), tmp_path, **options)[0]

    few, many, given = plan(10), plan(2_000), plan(10, model="voc-lite", size=256, epochs=3, batch_size=4)
    stages = [run["model"]["backbone"]["init_args"]["frozen_stages"] for run in (few, many, given)]
    assert stages == [4, 2, 2]
    assert few["trainer"]["max_epochs"] == 60 and many["trainer"]["max_epochs"] == 4
    assert few["optimization"]["lr"] < given["optimization"]["lr"]
    assert given["model"]["preprocessing"]["size"] == [256, 256] and given["trainer"]["max_epochs"] == 3
    assert given["data"]["batch_size"] == 4 and "level_assignment" not in given["model"]
    assert given["data"]["sizes"] == [[192, 192], [256, 256], [320, 320]] and few["data"]["sizes"] is None


def test_a_start_with_keypoints_learns_those_of_the_data_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("centernet.training.recipe.answers", lambda *_: torch.full((1, 1), 0.5))
    heads = {
        "heatmap": {"class_path": "HeatmapHead"},
        "box": {"class_path": "SizeOffsetHead"},
        "keypoints": {"class_path": "KeypointHead", "init_args": {"skeleton": {"names": ["nose", "tail"]}}},
    }
    backbone = {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}}
    section = {"class_names": ["cat"], "backbone": backbone, "neck": {"class_path": "FPN"}, "heads": heads}
    model = build_centernet({"model": section | {"preprocessing": {"size": [64, 96]}}})
    folder, source = model.save_pretrained(tmp_path / "posed"), Source()
    plain = data_of([200.0], [0], ["a"], 4)
    config, said = finetuning(source, plain, tmp_path, model=folder)  # type: ignore[arg-type]
    assert list(config["model"]["heads"]) == ["heatmap", "box"] and "the data have no keypoints" in said
    fields = [keypoint_column(Skeleton(("nose", "paw", "ear")))]
    columns = replace(plain.columns, data={"keypoints": np.zeros((4, 3, 3), np.float32)})
    data = DetectionDataset(["a"], columns, fields=fields)
    config, said = finetuning(source, data, tmp_path, model=folder)  # type: ignore[arg-type]
    assert config["model"]["heads"]["keypoints"]["init_args"]["skeleton"]["names"] == ["nose", "paw", "ear"]
    assert config["optimization"]["frozen_norms"] and config["model"]["preprocessing"]["size"] == [64, 96]
    known = replace(columns, data={"keypoints": np.zeros((4, 2, 3), np.float32)})
    same = DetectionDataset(["a"], known, fields=[keypoint_column(Skeleton(("nose", "tail")))])
    less, _ = finetuning(source, same, tmp_path, model=folder)  # type: ignore[arg-type]
    assert less["optimization"]["lr"] < config["optimization"]["lr"]
    assert less["trainer"]["max_epochs"] < config["trainer"]["max_epochs"]
    assert "the start knows 1 of the 3 keypoints (nose)" in said
    _, said = finetuning(source, data, tmp_path, model="voc-lite")  # type: ignore[arg-type]
    assert "keypoints of the data are not learned: voc-lite has no head for them" in said
