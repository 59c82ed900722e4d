"""`detect --calib`: boxes in space of a model that finds them, in KITTI's rows, tables and drawings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from centernet import build_centernet
from centernet.cli.main import main
from centernet.export import ExportOptions, export
from centernet.inference import Detector
from centernet.network import load_network

HEADS = {
    "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
    "box": {"class_path": "LTRBHead", "init_args": {"width": 8}},
    "box3d": {"class_path": "Box3DHead", "init_args": {"width": 8}},
}
CALIBRATION = "P2: 70 0 {} 0 0 70 30 0 0 0 1 0\n"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "calib", "plain"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for name, center in (("a", 60), ("b", 40)):
        cv2.imwrite(f"photos/{name}.png", rng.integers(0, 255, (60, 120, 3), dtype=np.uint8))
        Path(f"calib/{name}.txt").write_text(CALIBRATION.format(center))
    for folder, heads in (("model", HEADS), ("plain", {name: HEADS[name] for name in ("heatmap", "box")})):
        section = {
            "class_names": ["Car", "Cyclist"],
            "backbone": {"class_path": "ShuffleNetV2", "init_args": {"width": "0.5"}},
            "neck": {"class_path": "LiteFPN", "init_args": {"widths": [8, 8, 16, 16]}},
            "heads": heads,
            "preprocessing": {"size": [64, 128]},
        }
        build_centernet({"model": section}).save_pretrained(tmp_path / folder)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["detect", "photos", "--num-detections", "4", "--score-threshold", "0", *arguments])


def test_boxes_in_space(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("--model", "model", "--calib", "calib", "--output", "out", "--format", "images,json,csv,kitti,birds_eye")
        == 0
    )
    assert {path.name for path in Path("out").iterdir()} == {
        "images", "detections.json", "detections.csv", "kitti", "birds_eye",
    }  # fmt: skip
    with Path("out/detections.csv").open(newline="", encoding="utf-8") as file:
        table = [row for row in csv.DictReader(file) if row["image"] == "b.png"]
    rows = [line.split() for line in Path("out/kitti/b.txt").read_text().splitlines()]
    assert len(rows) == len(table) == 4
    for row, other in zip(rows, table, strict=True):
        assert row[0] == other["class"] and float(row[15]) == pytest.approx(float(other["score"]), abs=1e-3)
        x, y, z = (float(other[f"location_{i}"]) for i in range(3))
        assert [float(v) for v in row[11:14]] == pytest.approx([x, y, z], abs=1e-3)
        height = float(other["dimensions_0"])
        seen = [70 * x / z + 40, 70 * (y - height / 2) / z + 30]  # by the camera of b alone
        assert seen == pytest.approx([float(other[f"projected_center_{i}"]) for i in range(2)], abs=0.05)
    content = json.loads(Path("out/detections.json").read_text())
    assert len(content["annotations"][0]["corners"]) == 16
    assert cv2.imread("out/birds_eye/a.jpg").shape == (640, 640, 3)

    assert run("--model", "model", "--calib", "calib/a.txt") == 0  # one camera for all
    assert Path("detections/kitti/a.txt").read_text() == Path("out/kitti/a.txt").read_text()
    assert Path("detections/kitti/b.txt").read_text() != Path("out/kitti/b.txt").read_text()
    assert Path("detections/images/a.jpg").read_bytes() == Path("out/images/a.jpg").read_bytes()

    assert run("--model", "model", "--format", "kitti", "--output", "flat") == 0
    assert Path("flat/kitti/a.txt").read_text().split()[11] == "-1000.0000"
    capsys.readouterr()
    for arguments, message in (
        (("--model", "plain", "--calib", "calib"), "no head for boxes in space"),
        (("--model", "model", "--format", "birds_eye"), "give --calib"),
        (("--model", "model", "--calib", "photos/a.png"), "no line P2"),
        (("--model", "model", "--calib", "photos"), "no calibration file a.txt or photos.txt"),
    ):
        assert run(*arguments) == 1
        assert message in capsys.readouterr().err


def test_exported_files_say_the_same(work: Path) -> None:
    eager = Detector("model", num_detections=20, score_threshold=0)
    export(load_network("model"), work / "model.onnx", ExportOptions())
    for name in ("a", "b"):
        one = eager(f"photos/{name}.png")
        other = Detector("model.onnx", num_detections=20, score_threshold=0)(f"photos/{name}.png")
        assert other.columns == one.columns and len(one) == 20
        for column in one.columns:
            np.testing.assert_allclose(other.data[column.name], one.data[column.name], rtol=1e-4, atol=1e-3)
