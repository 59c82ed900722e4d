"""The page on a model: for any validation, run or names there may be; and the comparison of two."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet import Detections
from centernet.cli.main import main
from centernet.data import DetectionDataset
from centernet.data.columns import Columns
from centernet.data.dataset import VideoSequence
from centernet.data.sample import Annotation
from centernet.inference.validation import Validation
from centernet.report import Comparison, compare, write_report
from centernet.report.comparing import write_comparison
from centernet.report.runs import Run

HOSTILE = "<script>alert('1')</script>\"&"
NAMES = (HOSTILE, "disc", "never")


class Page(HTMLParser):
    """A page whose tags are closed in their order, with all its text and the addresses that it names."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: Path) -> tuple[Page, dict[str, Any]]:
    """The page stands alone and has no script, and its values are JSON."""
    read = Page(page)
    assert all(address.startswith("data:image/") for address in read.addresses) and "script" not in read.tags
    assert "url(" not in page.read_text().partition("</style>")[0]
    content = json.loads(page.with_name("report.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    return read, content


def images(folder: Path, number: int = 6, names: tuple[str, ...] = NAMES, **options: Any) -> DetectionDataset:
    """Images with two objects each: of the first class to the left, of the second to the right."""
    rows = []
    for i in range(number):
        path = folder / f"{i} <b>.png"
        Image.fromarray(np.full((60, 100, 3), min(40 * i, 255), np.uint8)).save(path)
        boxes = np.array([[10, 10, 40, 40], [50, 10, 90, 50]], np.float32)
        columns = {"labels": np.array([0, 1]), "ids": np.array([0, 1]), "ignore": np.zeros(2, bool)}
        areas = np.array([900.0, 1600.0], np.float32)
        rows.append(Annotation(path, i, 60, 100, boxes=boxes, areas=areas, **columns))
    return DetectionDataset(names, Columns.of(rows), **options)


def validation(dataset: DetectionDataset, *, finds: bool = True, better: bool = False) -> Validation:
    """The left object is always found, the right one in every other image or always, and something of nothing."""
    made = Validation(dataset.class_names, dataset, {"preset": "sort"})
    for i in range(len(dataset)):
        boxes = [[10, 10, 40, 41], [0, 0, 8, 8]] + [[51, 10, 90, 50]] * (i % 2 or better)
        found = Detections(np.array(boxes, np.float32), [0, 1, 1][: len(boxes)], [0.9, 0.4, 0.8][: len(boxes)])
        made.update(dataset.annotation(i), found if finds else Detections.empty())
    made.compute()
    return made


def test_the_page_names_faults_and_shows_names_as_text(tmp_path: Path) -> None:
    judged = validation(images(tmp_path))
    page, content = check(write_report(tmp_path, HOSTILE, validation=judged, threshold=0.3, notes=[HOSTILE]))
    assert page.text.count(HOSTILE) >= 4 and "<script>" not in (tmp_path / "report.html").read_text()
    counts = {error["kind"]: error["count"] for error in content["errors"]}
    assert counts["Miss"] == 3 and content["worst"][0]["errors"] == 2
    assert any("3 objects are missed, of 12" in fault for fault in content["faults"])
    assert content["figures"]["AP50"] == judged.result.coco.stats["AP50"]  # type: ignore[union-attr]
    assert content["classes"][0]["interval"] is not None
    row = {one["name"]: one for one in content["classes"]}["disc"]
    assert row["recall"] == 0.5 and row["precision"] == 1 and 0.4 < row["threshold"] < 0.8
    cells, places = np.array(content["confusions"]["matrix"]), content["confusions"]["classes"]
    disc, other = places.index("disc"), places.index(HOSTILE)
    assert cells[disc, disc] == 3 and cells[disc, -1] == 3 and cells[-1, disc] == 6 and cells[other, other] == 6


def test_a_class_that_is_never_found_and_an_image_that_is_gone(tmp_path: Path) -> None:
    judged = validation(images(tmp_path), finds=False)
    (tmp_path / "0 <b>.png").unlink()
    page, content = check(write_report(tmp_path, "none", validation=judged))
    assert {row["name"] for row in content["classes"] if not row["found"]} == {HOSTILE, "disc"}
    assert "never found" in page.text and content["figures"]["AP"] == 0


def test_ten_thousand_classes(tmp_path: Path) -> None:
    names = tuple(f"kind {label}" for label in range(10_000))
    page, content = check(write_report(tmp_path, "many", validation=validation(images(tmp_path, 2, names))))
    assert content["data"]["classes_without_objects"] == 9_998 and len(content["classes"]) == 2
    assert (tmp_path / "report.html").stat().st_size < 200_000 and "9,998 of 10,000 classes" in page.text


@pytest.mark.parametrize("state", ["empty", "before an epoch", "in the second"])
def test_a_run_of_which_little_is_there(state: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("trainer: {max_epochs: 5}\n")
    if state != "empty":
        rows = "epoch,step,train/loss,val/AP\n0,1,2.5,\n" + (
            "0,2,,0.25\n1,3,nan,\n1,4,2.0" if "second" in state else ""
        )
        (tmp_path / "metrics.csv").write_text(rows)
    if "second" in state:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints/last.ckpt").touch()
    run = Run.read(tmp_path)
    page, content = check(write_report(tmp_path, "run", run=run))
    expected = {"empty": "nothing was logged", "before an epoch": "no checkpoint", "in the second": "epoch 2 of 5"}
    assert expected[state] in page.text
    figures = content["run"].get("figures", {})
    assert figures.get("val/AP") == ([[2.0], [0.25]] if "second" in state else None)


class Renames:
    """A tracker that calls an object something else after each second frame."""

    options = SimpleNamespace(high_score=0.5, low_score=None, camera_motion=False)

    def __init__(self, **_: Any) -> None:
        self.frame = -1

    def update(self, found: Detections, image: Any = None) -> Detections:
        self.frame += 1
        return replace(found, track_ids=np.full(len(found), self.frame // 2))


def test_changes_of_identity_are_shown_with_their_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centernet.inference.validation.Tracker", Renames)
    dataset = images(tmp_path, 4, ("a", "b"), sequences=[VideoSequence(HOSTILE, 0, 4, 10.0)])
    made = Validation(dataset.class_names, dataset)
    for i in range(4):
        made.update(dataset.annotation(i), Detections(np.array([[10, 10, 40, 40]], np.float32), [0], [0.9]))
    made.compute()
    page, content = check(write_report(tmp_path, "tracks", validation=made))
    rows = {(row["sequence"], row["class"]): row for row in content["tracking"]["rows"]}
    assert content["tracking"]["all_switches"] == rows["COMBINED", "a"]["IDSW"] == 1
    (switch,) = content["tracking"]["switches"]
    assert (switch["before"], switch["after"]) == (1, 2) and "frames 2 and 3" in page.text and HOSTILE in page.text


def test_a_comparison_is_paired_and_finds_who_finds_what(tmp_path: Path) -> None:
    dataset = images(tmp_path, 12)
    first, second = validation(dataset), validation(dataset, better=True)
    same = compare(("a", "b"), first, validation(dataset))
    assert not any(one.is_clear for one in [*same.figures, *same.classes]) and not same.only_first
    comparison = compare((HOSTILE, "b"), first, second)
    figures = {one.name: one for one in comparison.figures}
    assert figures["AP50"].is_clear and figures["AP50"].value > 0.1
    assert comparison.only_second == {i: 1 for i in range(0, 12, 2)} and not comparison.only_first
    page, content = check(write_comparison(tmp_path, comparison))
    assert HOSTILE in page.text and len(content["only_second"]) == 6
    shown = (tmp_path / "report.html").read_text().count("<b>clear</b>")
    assert 0 < shown == sum(one.is_clear for one in [*comparison.figures, *comparison.classes])
    assert len(comparison.figures) + len(comparison.classes) > shown
    assert isinstance(comparison, Comparison) and "+0." in comparison.table()


class Finds:
    """Finds the left object, and the right one where the image is bright."""

    preprocessing: Any = None
    class_names = NAMES

    def __init__(self) -> None:
        from centernet.images import Preprocessing

        self.preprocessing = Preprocessing((60, 100))

    def __call__(self, inputs: np.ndarray, num_detections: int) -> dict[str, Any]:
        n = len(inputs)
        bboxes = np.tile(np.array([[10, 10, 40, 40], [50, 10, 90, 50]], np.float32), (n, 1, 1))
        scores = np.tile(np.array([0.9, 0.8], np.float32), (n, 1))
        scores[inputs.reshape(n, -1).mean(axis=1) < 100, 1] = 0
        return {"bboxes": bboxes, "labels": np.tile([0, 1], (n, 1)), "scores": scores}


@pytest.fixture
def coco_file(tmp_path: Path) -> Path:
    dataset = images(tmp_path / "images" if (tmp_path / "images").mkdir() is None else tmp_path)
    rows = [
        {
            "id": 2 * i + k + 1,
            "image_id": i + 1,
            "category_id": k + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i in range(len(dataset))
        for k, box in enumerate([[10, 10, 30, 30], [50, 10, 40, 40]])
    ]
    listed = [{"id": i + 1, "file_name": f"{i} <b>.png", "width": 100, "height": 60} for i in range(len(dataset))]
    kinds = [{"id": k + 1, "name": name} for k, name in enumerate(NAMES)]
    path = tmp_path / "instances_val.json"
    path.write_text(json.dumps({"images": listed, "annotations": rows, "categories": kinds}))
    return path


def test_the_command_judges_a_model_and_two(
    coco_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("centernet.inference.detector.open_runtime", lambda model, **options: Finds())
    options = ["--data", str(coco_file), "--output", str(tmp_path / "page")]
    assert main(["report", "any.onnx", *options]) == 0
    _, content = check(tmp_path / "page/report.html")
    assert content["figures"]["AP"] == pytest.approx(0.75, abs=0.01) and "95 % intervals" in capsys.readouterr().out
    assert main(["report", "any.onnx", *options, "--fail-below", "AP=.7"]) == 0
    assert main(["report", "any.onnx", *options, "--fail-below", "AP=.9,AP50=.1"]) == 1
    assert "AP 0.7" in (said := capsys.readouterr().out) and "is below 0.9" in said
    assert main(["report", "a/x.onnx", "b/x.onnx", *options]) == 0
    assert "a/x.onnx" in check(tmp_path / "page/report.html")[0].text
    assert main(["report", "any.onnx", *options, "--fail-below", "APP=.9"]) == 2
    assert "'APP'" in capsys.readouterr().err
    assert main(["report", "a", "b", "c", *options]) == 2
    assert main(["report", "any.onnx"]) == 1 and "--data" in capsys.readouterr().err


def test_a_class_of_another_name_is_judged_where_the_names_are_given(
    coco_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finds = Finds()
    finds.class_names = ("left", "right", "never")
    monkeypatch.setattr("centernet.inference.detector.open_runtime", lambda model, **options: finds)
    options = ["--data", str(coco_file), "--output", str(tmp_path / "page")]
    assert main(["report", "any.onnx", *options, "--rename", f"left={NAMES[0]},right=disc"]) == 0
    assert check(tmp_path / "page/report.html")[1]["figures"]["AP"] == pytest.approx(0.75, abs=0.01)
    for wrong, name in (
        ("lefts=disc", "'lefts' (did you mean 'left'?)"),
        ("left=disk", "'disk' (did you mean 'disc'?)"),
    ):
        assert main(["report", "any.onnx", *options, "--rename", wrong]) == 1
        assert name in capsys.readouterr().err
    assert main(["report", "any.onnx", *options, "--rename", "left"]) == 2


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_draws_the_page_without_a_complaint(tmp_path: Path) -> None:
    page = write_report(tmp_path, HOSTILE, validation=validation(images(tmp_path)))
    command_line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [*command_line, profile, page.as_uri()], capture_output=True, text=True, timeout=240, check=True
    )
    assert not re.search(r"CONSOLE|Refused to|net::ERR", done.stderr)
    assert "Worst images" in done.stdout
