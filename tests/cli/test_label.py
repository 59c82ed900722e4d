"""`centernet label`: the command from end to end with the packaged model, what it says, and the exit codes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from centernet.cli.main import main
from centernet.data import COCO, Synthetic

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*(instantiate_classes|treespec|many workers|eval mode|logging interval).*"),
    pytest.mark.filterwarnings("ignore:.*not supported by the model summary.*"),
]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images in a current folder of their own."""
    monkeypatch.chdir(tmp_path)
    Synthetic(3, size=(96, 128), seed=0).write("scenes", format="coco", split="train")
    return Path("scenes/images")


def test_a_data_set_that_check_reads(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "voc-lite", "--threshold", "other=0.05,person=0.9", "--ignore-threshold", "0.01", "--flip"]
    options += ["--sizes", "64", "96x128", "--num-detections", "5", "--batch-size", "2"]
    assert main(["label", str(photos), "--output", "out", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    dataset = COCO("out/annotations_train.json", strict=True)
    assert len(dataset) == 3 and dataset.class_names[0] == "aeroplane" and len(dataset.class_names) == 20
    objects, ignored = (int((dataset.columns.ignore == flag).sum()) for flag in (False, True))
    assert objects + ignored > 0
    assert lines[-1].startswith(f"3 images, {objects} objects") and f"{ignored} regions to ignore" in lines[-1]
    assert "one split, of which nothing is set aside" in lines[-2]
    assert main(["check", "out"]) == 0 and "0 errors" in capsys.readouterr().out
    assert main(["label", str(photos), "--output", "again", *options]) == 0  # the same command, the same labels
    one, other = (Path(name, "annotations_train.json").read_bytes() for name in ("out", "again"))
    assert one == other


def test_what_detect_found_and_what_was_labelled_before(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(photos), "--format", "json", "--score-threshold", "0.02", "--output", "found"]) == 0
    truth = COCO("scenes/annotations_train.json")
    arguments = ["--model", "found/detections.json", "--teacher", "voc-lite", "--weights", "1", "1"]
    arguments += ["--keep", "scenes", "--threshold", "0.9", "--ignore-threshold", "none"]
    assert main(["label", str(photos), *arguments, "--output", "out"]) == 0
    out = capsys.readouterr().out
    assert f"kept {len(truth.columns.boxes)} boxes of 3 images from scenes" in out
    dataset = COCO("out/annotations_train.json")
    assert dataset.class_names[: len(truth.class_names)] == truth.class_names
    genuine = dataset.columns.labels < len(truth.class_names)
    np.testing.assert_allclose(dataset.columns.boxes[genuine], truth.columns.boxes, atol=0.01)
    assert json.loads(Path("out/labelling.json").read_text())["models"] == ["found/detections.json", "voc-lite"]


def test_a_round_of_corrections_as_the_documentation_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command of the page's loop; in the place of CVAT stands one who draws every object, and deletes the rest."""
    page = (Path(__file__).resolve().parents[2] / "docs/labelling.md").read_text("utf-8")
    block = page.partition("## Corrections")[2].partition("```bash\n")[2].partition("```")[0]
    lines = [line for line in block.splitlines() if line]
    assert sum(line.startswith("#") for line in lines) == 1 and len(lines) == 6
    monkeypatch.chdir(tmp_path)
    Synthetic(14, size=(96, 128), seed=0).write("scenes", format="coco", split="train")
    Path("photos").symlink_to("scenes/images")
    truth = COCO("scenes/annotations_train.json")
    of_image = {truth.path(i).name: truth.annotation(i) for i in range(len(truth))}
    for line in lines:
        if line.startswith("#"):
            root = ElementTree.parse("round1/found/cvat.xml").getroot()
            assert len(root.findall("image")) == 6
            for label in root.iter("labels"):
                label[:] = [ElementTree.Element("label") for _ in truth.class_names]
                for element, name in zip(label, truth.class_names, strict=True):
                    ElementTree.SubElement(element, "name").text = name
            for image in root.iter("image"):
                image[:] = []
                stated = of_image[image.attrib["name"]]
                for kind, box in zip(stated.labels.tolist(), stated.boxes.tolist(), strict=True):
                    edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(str, box), strict=True))
                    ElementTree.SubElement(image, "box", {"label": truth.class_names[kind], **edges})
            ElementTree.ElementTree(root).write("round1/annotations.xml", "utf-8")
            continue
        words = shlex.split(line.replace("best.ckpt", "voc-lite", 1) if "runs/" not in line else line)[1:]
        words = [{"100": "6"}.get(word, word) for word in words]
        quick = ["--epochs", "1", "--size", "64", "--batch-size", "4", "--workers", "0"]
        assert main([*words, *(quick if words[0] == "finetune" else [])]) == 0, capsys.readouterr().err
    first, second = (set(Path(f"round{i}/selected.txt").read_text().splitlines()) for i in (1, 2))
    assert len(first) == len(second) == 6 and not first & second
    written = json.loads(Path("round2/annotations_train.json").read_text())
    assert {category["name"] for category in written["categories"]} == {*truth.class_names}
    assert "chose 6 of 8 images" in capsys.readouterr().out


def test_what_each_tool_gives_back_is_checked_and_trained_on(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Synthetic(8, size=(96, 128), seed=1).write("more", format="coco", split="train")
    arguments = ["--format", "cvat,label_studio,labelme", "--model", "voc-lite", "--score-threshold", "0.05"]
    assert main(["detect", "more/images", *arguments, "--output", "found"]) == 0
    tasks = json.loads(Path("found/label_studio.json").read_text())
    for task in tasks:  # submitted as they are
        task["annotations"] = task.pop("predictions")
    Path("export.json").write_text(json.dumps(tasks))
    counts = set()
    for path, name in (("found/cvat.xml", "CVAT"), ("found/labelme", "LabelMe"), ("export.json", "Label Studio")):
        given = [path, "--images", "more/images"]
        capsys.readouterr()
        assert main(["check", *given]) == 0
        said = capsys.readouterr().out
        assert f"{path}: {name}" in said and "0 errors" in said
        counts |= {line for line in said.splitlines() if line.startswith(("images ", "objects "))}
        options = ["--model", "voc-lite", "--size", "64", "--dry-run", "--workers", "0", "--output", "run"]
        assert main(["finetune", *given, *options]) == 0, capsys.readouterr().err
        assert Path("run/finetune.yaml").is_file()
    assert len(counts) == 3, "all of them say the same"  # images, objects, objects an image


def test_a_bad_image_and_other_exit_codes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (40, 30)).save(photos / "plain.png")
    assert main(["label", str(photos), "--output", "out", "--to", "yolo", "--image-files", "copy"]) == 1
    captured = capsys.readouterr()
    assert "left out: scenes/images/broken.jpg" in captured.err
    assert captured.out.splitlines()[-1].startswith("4 images, ") and "1 skipped" in captured.out
    assert len(list(Path("out/images/train").iterdir())) == 4
    for arguments, code, says in (
        ([], 2, "--output"),
        (["--output", "out"], 1, "not empty"),
        (["--output", "new", "--classes", "persn"], 1, "did you mean 'person'"),
        (["--output", "new", "--keep", "nowhere"], 1, "nowhere: no such file"),
        (["--output", "new", "--threshold", "2"], 2, "not within 0..1"),
        (["--output", "new", "--select", "0"], 2, "less than 1"),
    ):
        assert main(["label", str(photos), *arguments]) == code
        assert says in capsys.readouterr().err
