"""`centernet evaluate-tracking`: what a person sees, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from centernet.cli.evaluate_tracking import _parser
from centernet.cli.main import main
from centernet.evaluation.tracking import Format


@pytest.fixture
def mot15(shared: Path) -> list[str]:
    results = shared / "data/oracles/tracking/results/mot15_greedy"
    return ["evaluate-tracking", str(shared / "data/mot/original"), str(results), "--sequences", "TUD-*,PETS*"]


def test_the_table_and_the_file(mot15: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*mot15, "--output", str(tmp_path / "figures")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["pedestrian", "HOTA", "DetA"]
    assert [line.split()[0] for line in lines[1:5]] == ["PETS09-S3-MF1", "TUD-Campus", "TUD-Stadtmitte", "COMBINED"]
    path = tmp_path / "figures/tracking_metrics.json"
    assert lines[-1] == f"wrote {path}"
    figures = json.loads(path.read_text(encoding="utf-8"))["pedestrian"]
    assert figures.keys() == {"PETS09-S3-MF1", "TUD-Campus", "TUD-Stadtmitte", "COMBINED"}
    assert len(figures["COMBINED"]["HOTA_alpha"]) == 19
    shown = dict(zip(lines[0].split()[1:], lines[4].split()[1:], strict=True))
    assert shown["HOTA"] == f"{figures['COMBINED']['HOTA']:.3f}" and shown["IDSW"] == str(figures["COMBINED"]["IDSW"])


def test_kitti_shows_each_class(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "data/oracles/tracking"
    arguments = [str(folder / "gt/kitti_label_02"), str(folder / "results/kitti_noisy")]
    assert main(["evaluate-tracking", *arguments]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "HOTA" in line] == ["car", "pedestrian"]
    assert main(["evaluate-tracking", *arguments, "--classes", "pedestrian"]) == 0
    assert "car" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--format", "mot18"], 2, "invalid choice"),
        (["--min-visibility", "2"], 2, "not within 0..1"),
        (["--classes", "dog"], 1, "class_names has 'dog', but the classes there are pedestrian"),
        (["--format", "mot17"], 1, "the class in column 8"),
        (["--format", "kitti"], 1, "expected 17"),
        (["--sequences", "MOT17-*"], 1, "no results for 3"),
    ],
)
def test_what_cannot_be(
    mot15: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert main([*mot15, *arguments]) == code
    assert says in capsys.readouterr().err


def test_every_format_can_be_chosen() -> None:
    for name in get_args(Format):
        assert _parser().parse_args(["gt", "results", "--format", name]).format == name
