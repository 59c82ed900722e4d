"""`centernet check`: what a person sees, and the exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from centernet.cli import main as main_module
from centernet.cli.main import main
from centernet.data import VOC, Synthetic

SOURCES = str(Path(main_module.__file__).parents[2])


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for seed, split in enumerate(("train", "val")):
        Synthetic(20, size=(96, 128), seed=seed, class_names=["disc", "star"], max_hidden=1).write(
            tmp_path / "voc", split=split
        )
    return tmp_path / "voc"


@pytest.fixture
def config(clean: Path, tmp_path: Path) -> Path:
    content = {
        "model": {
            "num_classes": 2,
            "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "pretrained": True}},
            "neck": {"class_path": "FPN", "init_args": {"width": 16, "convolution": "separable"}},
            "heads": {"heatmap": {"class_path": "HeatmapHead", "init_args": {"radius": "corrected", "width": 16}}},
            "preprocessing": {"size": [64, 96]},
        },
        "data": {
            split: {"class_path": "VOC", "init_args": {"root": str(clean), "split": split}}
            for split in ("train", "val")
        },
    }
    content["data"]["augmentation"] = {"class_path": "Augment", "init_args": {"rotate": 10}}
    content["data"]["batch_size"] = 4
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_clean_data(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(clean), "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "Pascal VOC" in text and "nothing wrong was found" in text and "disc" in text
    assert "512×512" in text


def test_errors_are_exit_code_1_and_all_in_the_files(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "data/fixtures/messy_voc"
    page, report = tmp_path / "out/report.html", tmp_path / "out/fix.json"
    arguments = ["check", str(folder), "--class-names", "hat,person", "--html", str(page), "--fix-report", str(report)]
    assert main([*arguments, "--workers", "1"]) == 1
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == f"wrote {page} and {report}"
    assert "6 errors, 1 warning" in output.out and "warning:" not in output.err
    stems = {Path(finding["path"]).stem for finding in json.loads(report.read_text())["findings"]}
    assert stems == {"truncated_jpeg", "size_zero", "inverted_box", "box_outside", "zero_area_box",
                     "no_xml", "no_image"}  # fmt: skip
    text = page.read_text()
    assert "What training sees" in text and "inverted_box.xml" in text


def test_warnings_alone_are_exit_code_0(clean: Path) -> None:
    images = clean / "JPEGImages"
    shutil.copy(images / "train_000001.jpg", images / "val_000001.jpg")
    assert main(["check", str(clean), "--workers", "1"]) == 0


def test_a_configuration(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its input size, stride, classes and augmentation; no pretrained weights are fetched."""
    page = tmp_path / "report.html"
    assert main(["check", str(config), "--html", str(page), "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "input 64×96, stride 4" in text and "nothing wrong was found" in text
    assert page.read_text().count('class="heat"') == 12


def test_a_configuration_whose_model_knows_other_classes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(config.read_text())
    content["model"]["num_classes"] = 3
    config.write_text(yaml.safe_dump(content))
    assert main(["check", str(config), "--workers", "1"]) == 1
    assert "the model has 3 classes, the data 2" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_classes_left_out_by_choice_are_information(
    config: Path, clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert main(["convert-data", str(clean), "--to", kind, "--output", str(tmp_path / "other")]) == 0
    content = yaml.safe_load(config.read_text())
    for split in ("train", "val"):
        where = {"coco": {"annotations": str(tmp_path / f"other/annotations_{split}.json")},
                 "yolo": {"data": str(tmp_path / "other/data.yaml"), "split": split}}  # fmt: skip
        content["data"][split] = {
            "class_path": kind.upper(),
            "init_args": {**where[kind], "class_names": ["star"], "strict": True},
        }
    content["model"]["num_classes"] = 1
    config.write_text(yaml.safe_dump(content))
    capsys.readouterr()
    assert main(["check", str(config), "--workers", "1"]) == 0
    text = capsys.readouterr().out
    discs = [
        sum(int((VOC(clean, split).annotation(i).labels == 0).sum()) for i in range(20)) for split in ("train", "val")
    ]
    for split, count in zip(("train", "val"), discs, strict=True):
        said = f"{count} boxes of classes that are not in class_names are left out: 'disc' {count}"
        assert f"note: {split}: {said}\n" in text
    assert "nothing wrong was found" in text and "unknown" not in text


def test_a_configuration_with_a_wrong_path(config: Path, clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other split is checked all the same."""
    (clean / "ImageSets/Main/train.txt").unlink()
    assert main(["check", str(config), "--workers", "1"]) == 1
    text = capsys.readouterr().out
    assert "no such list" in text and "val" in text and "disc" in text


def test_a_configuration_with_a_wrong_key(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(config.read_text())
    content["data"]["batchsize"] = 3
    config.write_text(yaml.safe_dump(content))
    assert main(["check", str(config)]) == 1
    assert "batchsize" in capsys.readouterr().err


def test_the_data_yaml_of_yolo_is_data_not_a_configuration(clean: Path, tmp_path: Path) -> None:
    assert main(["convert-data", str(clean), "--to", "yolo", "--output", str(tmp_path / "yolo")]) == 0
    assert main(["check", str(tmp_path / "yolo/data.yaml"), "--workers", "1"]) == 0


def test_annotations_alone(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["convert-data", str(clean), "--to", "coco", "--output", str(tmp_path / "c"), "--pictures", "none"]) == 0
    )
    path = tmp_path / "c/annotations_train.json"
    assert main(["check", str(path)]) == 1  # its images are nowhere
    assert "give their folder as `images`" in capsys.readouterr().out
    assert main(["check", str(path), "--read-images", "none"]) == 0
    assert "no image was read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere"], 1, "no such file or folder"),
        ([], 2, "CONFIG_OR_FOLDER"),
        (["voc", "--read-images", "some"], 2, "--read-images"),
        (["voc", "--images", "some"], 1, "some: no such folder"),
        (["voc", "--size", "0"], 2, "--size"),
        (["voc", "--format", "xml"], 1, "'xml'"),
        (["config.yaml", "--size", "300"], 2, "is for folders"),
    ],
)
def test_wrong_usage(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(config.parent)
    assert main(["check", *arguments]) == code
    assert says in capsys.readouterr().err


def test_a_folder_is_checked_without_any_extra(clean: Path, tmp_path: Path) -> None:
    """Its page says what is missing for the training samples."""
    page = tmp_path / "page.html"
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'lightning', 'jsonargparse', 'rich', 'matplotlib')))\n"
        "from centernet.cli.main import main\n"
        f"sys.exit(main(['check', {str(clean)!r}, '--workers', '1', '--html', {str(page)!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": SOURCES}, stdout=subprocess.DEVNULL)
    text = page.read_text()
    assert "needs the package torch: pip install" in text and "disc" in text and 'class="heat"' not in text


def test_the_former_meaning_of_images_is_understood(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--images", "--read-images"):
        assert main(["check", str(clean), option, "none"]) == 0
        assert "no image was read" in capsys.readouterr().out


def test_what_is_not_understood_is_an_error(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clean / "more").mkdir()
    (clean / "more/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (clean / "LICENSE").write_text("Do with it what you want, but name me.\n")
    assert main(["check", str(clean), "--read-images", "none"]) == 1
    said = capsys.readouterr().out
    assert "ERROR unread-annotation (1)" in said and "more/a.txt (rows as YOLO's)" in said and "LICENSE (text)" in said
    assert main(["check", str(clean), "--read-images", "none", "--format", "voc"]) == 0
    assert "WARNING left-out-file (1)" in capsys.readouterr().out


def test_the_advice_can_be_followed_in_the_same_command(clean: Path, tmp_path: Path) -> None:
    """Images elsewhere: --images; the splits under other names: --splits."""
    output = tmp_path / "coco"
    assert main(["convert-data", str(clean), "--to", "coco", "--output", str(output), "--image-files", "copy"]) == 0
    images = (output / "images").rename(tmp_path / "photos")
    (output / "annotations_train.json").rename(output / "one.json")
    data = [str(output), "--images", str(images), "--splits"]
    assert main(["check", *data, "train=one.json"]) == 0
    assert main(["check", *data, "train=two.json"]) == 1
    again = ["--to", "yolo", "--output", str(tmp_path / "yolo")]
    assert main(["convert-data", *data, "train=one", *again]) == 0
    assert main(["finetune", *data, "train=one.json", "--dry-run", "--output", str(tmp_path / "run")]) == 0
    assert str(images) in (tmp_path / "run/finetune.yaml").read_text()
