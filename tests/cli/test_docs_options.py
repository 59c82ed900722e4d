"""Each option in the commands of the documentation does something: another value gives another file or figure.

`OPTIONS` has a row for each option of the commands in README.md and docs/*.md. Both commands of a row run in a folder
of their own that has the inputs, and differ in the value alone; what is compared is everything that they write or,
where that holds the option itself (the configuration of a run), the weights or figures that come of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps

from centernet.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in the fenced blocks of a page."""
    for block in re.split(r"^\s*```", text, flags=re.MULTILINE)[1::2]:
        for line in block.partition("\n")[2].replace("\\\n", " ").splitlines():
            words = line.split(" #")[0].strip()
            if words.startswith(("centernet ", "python train.py ")):
                yield shlex.split(words)


def documented() -> set[tuple[str, str]]:
    """Return (command, option) of all commands of the documentation."""
    found = set()
    for page in PAGES:
        for words in commands(page.read_text(encoding="utf-8")):
            command = "fit" if words[0] == "python" else words[1]
            found |= {(command, word.partition("=")[0]) for word in words if re.match(r"--[a-z]", word)}
    return found


# ---------------------------------------------------------------------- what a command brings about


def files(folder: Path, out: str) -> Any:
    """All files that were written, with their contents."""
    written = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in written}


def weights(folder: Path, out: str) -> Any:
    """The weights that were trained."""
    import torch

    path = max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    tensors = torch.load(path, weights_only=True)["state_dict"]
    return {name: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for name, value in tensors.items()}


def log(folder: Path, out: str) -> Any:
    """The figures of the epochs."""
    (path,) = (path for path in folder.rglob("metrics.csv") if "earlier" not in path.parts)
    return path.read_text()


def figures(folder: Path, out: str) -> Any:
    """The figures of an evaluation."""
    (path,) = folder.rglob("figures.json")
    return json.loads(path.read_text())


def page_values(folder: Path, out: str) -> Any:
    """The values of a report."""
    return json.loads((folder / "page" / "report.json").read_text())


def said(folder: Path, out: str) -> Any:
    """The words of the command."""
    return out


def places(folder: Path, out: str) -> Any:
    """The files that there are now."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def on_screen(folder: Path, out: str) -> Any:
    """How many frames were shown."""
    return re.findall(r"\d+ frames to the screen", out) or ["none"]


def best(folder: Path, out: str) -> Any:
    """The figure that chose the best weights."""
    return [line for line in out.splitlines() if line.startswith("best ")]


class Row(NamedTuple):
    """An option: its command, the rest of that, two values (None leaves it out), where they show, and exit codes."""

    command: str
    option: str
    rest: str
    one: str | None
    other: str | None
    shows: Callable[[Path, str], Any] = files
    exits: tuple[int, ...] = (0,)

    def line(self, value: str | None) -> str:
        return f"{self.command} {self.rest}" + ("" if value is None else f" {self.option} {value}")


DRAWN = "--model first.ckpt --format images --num-detections 3 --score-threshold 0"
ALL = "--format json --score-threshold 0"
TRACKED = "photos --model first.ckpt --format mot --score-threshold 0.001"
FIT, VALIDATE = "--config tiny.yaml", "--config tiny.yaml --ckpt_path first.ckpt"
ON_VOC, TRACKS = "--config voc.yaml", "--config tracker.yaml --ckpt_path tracker.ckpt"
LOW, HIGH = (f"'{{high_score: {high}, new_score: {high}, low_score: 0.001}}'" for high in (0.002, 0.999))
LABELLED = "--model found/detections.csv"
OPTIONS = [
    Row("check", "--fix-report", "voc1", "one.json.new", "other.json.new"),
    Row("check", "--html", "voc1", "one.html", "other.html"),
    Row("check", "--images", "far.json --html report.html", "voc1/JPEGImages", "inverted"),
    Row("check", "--read-images", "voc1", "all", "none", said),
    Row("check", "--splits", "voc1", "train=train", "train=val", said),
    Row("convert-data", "--class-names", "voc1 --to coco --output out", "disc", "disc,square"),
    Row("convert-data", "--image-files", "voc2 --to coco --output out", "copy", "none"),
    Row("convert-data", "--output", "voc1 --to coco", "one", "other"),
    Row("convert-data", "--shrink", "voc1 --to coco --output out", "32", "48"),
    Row("convert-data", "--to", "voc1 --output out", "coco", "yolo"),
    Row(
        "detect",
        "--annotations",
        "photos --model first.ckpt --format json --score-threshold 0",
        "one.json",
        "other.json",
    ),
    Row("detect", "--every", f"photos --model first.ckpt {ALL}", "2", "3"),
    Row("detect", "--flip", f"photos --model first.ckpt {ALL}", "", None),
    Row("detect", "--font", f"photos {DRAWN}", "own.ttf", None),
    Row("detect", "--labels", f"photos {DRAWN}", "name", "none"),
    Row("detect", "--line-width", f"photos {DRAWN}", "1", "4"),
    Row("detect", "--format", "photos --model first.ckpt --score-threshold 0", "json", "csv"),
    Row("detect", "--max-memory", f"large --model first.ckpt --tile 4000 {ALL}", "0.1", "1", files, (0, 1)),
    Row("detect", "--model", f"photos {ALL}", "first.ckpt", "second.ckpt"),
    Row("detect", "--output", "photos --model first.ckpt --format json", "one", "other"),
    Row("detect", "--recursive", "nested --model first.ckpt --format json --score-threshold 0", "", None),
    Row("detect", "--scales", f"photos --model kept.ckpt {ALL}", "1,0.5", "1"),
    Row("detect", "--score-threshold", "photos --model first.ckpt --format json", "0", "0.999"),
    Row("detect", "--score-threshold", "photos --model first.ckpt --format json", "disc=0", "disc=0,other=0"),
    Row("detect", "--show", f"photos --model first.ckpt {ALL}", "", None, on_screen),
    Row("detect", "--soft-nms", f"photos --model first.ckpt {ALL}", "", None),
    Row("detect", "--tile", f"photos --model first.ckpt {ALL}", "32", None),
    Row("evaluate", "--output", "voc1 found --split train", "one", "other"),
    Row("evaluate", "--split", "voc1 found --output out", "train", "val"),
    Row("evaluate-tracking", "--output", "video tracks.txt", "one", "other"),
    Row("export", "--classes", "first.ckpt --output model.onnx", "disc", "square"),
    Row("export", "--deform-conv", "deformable.ckpt --output model.onnx", "", None),
    Row("export", "--format", "first.ckpt", "torchscript", "pt2"),
    Row("export", "--input-type", "first.ckpt --output model.onnx", "uint8", "float32"),
    Row("export", "--letterbox", "first.ckpt --output model.onnx", "", None),
    Row("export", "--opset", "first.ckpt --output model.onnx", "13", "18"),
    Row("export", "--output", "first.ckpt", "one.onnx", "other.onnx"),
    Row("export", "--raw-maps", "first.ckpt --output model.onnx", "only", ""),
    Row("finetune", "--model", "voc1 --epochs 1 --size 64 --workers 0", "first.ckpt", "second.ckpt", weights),
    Row("fit", "--ckpt_path", f"{FIT} --trainer.max_epochs 2", "first.ckpt", "second.ckpt", weights),
    Row("fit", "--config", "", "tiny.yaml", "other.yaml", weights),
    Row("fit", "--data.batch_size", FIT, "2", "3", weights),
    Row("fit", "--data.train.init_args.root", ON_VOC, "voc1", "voc2", weights),
    Row("fit", "--data.val.init_args.root", ON_VOC, "voc1", "voc2", log),
    Row("fit", "--monitor", FIT, "AP50", "loss", best),
    Row("fit", "--model.backbone.init_args.frozen_stages", FIT, "0", "3", weights),
    Row("fit", "--model.backbone.init_args.padding", FIT, "same", "symmetric", weights),
    Row("fit", "--model.backbone.init_args.weights", FIT, "one.safetensors", "other.safetensors", weights),
    Row("fit", "--optimization.lr", FIT, "1e-3", "2e-3", weights),
    Row("fit", "--overfit-one-batch", f"{FIT} --trainer.max_steps 3", "", None, weights),
    Row("fit", "--patience", f"{FIT} --trainer.max_epochs 4 --optimization.lr 1e-12", "1", "2", log),
    Row("fit", "--print_config", FIT, "", None, said),
    Row("fit", "--resume", f"{FIT} --output earlier --trainer.max_epochs 2", "", None, places),
    Row("fit", "--start_from", FIT, "first.ckpt", "null", weights),
    Row("fit", "--teacher", FIT, "first.ckpt", "null", weights),
    Row("fit", "--teacher_weight", f"{FIT} --teacher second.ckpt", "0.5", "2", weights),
    Row("fit", "--trainer.check_val_every_n_epoch", f"{FIT} --trainer.max_epochs 2", "1", "2", log),
    Row("fit", "--trainer.max_epochs", FIT, "1", "2", weights),
    Row("label", "--classes", f"photos {LABELLED} --output out", "disc", "square"),
    Row("label", "--flip", "photos --model first.ckpt --threshold 0.001 --output out", "", None),
    Row("label", "--keep", "photos --model first.ckpt --output out", "voc1", None),
    Row("label", "--model", "photos --threshold 0.001 --output out", "first.ckpt", "second.ckpt"),
    Row("label", "--output", f"photos {LABELLED}", "one", "other"),
    Row("label", "--select", "photos --model first.ckpt --threshold 0.001 --output out", "1", "2"),
    Row("label", "--sizes", "photos --model first.ckpt --threshold 0.001 --output out", "64", "96"),
    Row("label", "--teacher", f"photos {LABELLED} --threshold 0.001 --output out", "first.ckpt", "second.ckpt"),
    Row("label", "--threshold", f"photos {LABELLED} --output out", "0.15", "0.35"),
    Row("models", "--licences", "first.ckpt", "", None, said),
    Row("report", "--data", "first.ckpt --output page", "voc1", "voc2", page_values),
    Row("report", "--fail-below", "first.ckpt second.ckpt --data voc1 --split train", "AP=0", "AP=1", said, (0, 1)),
    Row("report", "--output", "first.ckpt --data voc1 --split train", "one", "other"),
    Row("report", "--split", "first.ckpt --data voc1 --output page", "train", "val", page_values),
    Row("track", "--classes", "photos --model first.ckpt --format mot --score-threshold 0.001", "disc", "square"),
    Row("track", "--class-column", TRACKED, "", None),
    Row("track", "--detections", "--format mot", "det.txt", "fewer.txt"),
    Row("track", "--every", "photos --model first.ckpt --format json", "2", "3"),
    Row("track", "--format", "--detections det.txt", "mot", "json"),
    Row("track", "--model", "photos --format mot --score-threshold 0.001", "first.ckpt", "second.ckpt"),
    Row("track", "--no-audio", "clip.mp4 --model first.ckpt --format video --output out", "", None),
    Row("track", "--output", "--detections det.txt --format mot", "one", "other"),
    Row("track", "--preset", "--detections det.txt --format mot", "sort", "bytetrack"),
    Row("track", "--region", TRACKED, "0 0 64 64", "8 8 48 48"),
    Row("track", "--sequences", TRACKED.replace("photos", "nested"), "", None),
    Row("track", "--show", TRACKED, "", None, on_screen),
    Row("track", "--tile", TRACKED, "32", None),
    Row("validate", "--ckpt_path", FIT, "first.ckpt", "second.ckpt", figures),
    Row("validate", "--config", "--ckpt_path first.ckpt", "tiny.yaml", "other.yaml", figures),
    Row("validate", "--flip", VALIDATE, "", None, figures),
    Row("validate", "--model.nms_iou", VALIDATE, "0.99", "0.01", figures),
    Row("validate", "--model.preprocessing.size", VALIDATE, "'[64, 64]'", "'[96, 96]'", figures),
    Row("validate", "--model.tracker", TRACKS, LOW, HIGH, figures),
    Row("validate", "--scales", "--config tiny.yaml --ckpt_path kept.ckpt", "'[1, 0.5]'", "null", figures),
    Row("validate", "--soft-nms", VALIDATE, "", None, figures),
    Row("validate", "--split", VALIDATE, "val", "test", figures),
    Row("validate", "--start_from", "--config tiny.yaml", "first.ckpt", "second.ckpt", figures),
]

NOT_TRIED = {
    ("detect", "--resume"): "needs a run that was stopped: tests/cli/test_resume.py",
    **{("serve", option): "asked of a server: tests/serving" for option in ("--host", "--port", "--workers")},
    **{("detect", option): "starts Ray: tests/distributed" for option in ("--engine", "--workers", "--shard-size")},
    ("detect", "--calib"): "needs a model of boxes in space: tests/cli/test_boxes3d.py",
    ("track", "--point-cutoff"): "needs a model with points: tests/tracking/test_smoothing.py",
    ("convert-data", "--shard-mb"): "needs megabytes of images: tests/data/test_shards.py",
    ("convert", "--output"): "needs a file of another project; tests/foreign",
    ("convert", "--class-names"): "the same",
    ("convert", "--compare"): "the same",
    ("validate", "--calibrate"): "so few images fit no calibration: tests/training/test_calibration.py",
    ("fit", "--memory"): "what a batch takes depends on the machine: tests/training/test_batch_size.py",
    **{("fit", f"--trainer.{option}"): "several processes: tests/training" for option in ("devices", "strategy")},
    ("fit", "--trainer.logger"): "the loggers are packages of their own",
}
"""(command, option) → the reason why another value cannot be tried."""


def test_each_option_of_the_documentation_has_a_row() -> None:
    rows = {(row.command, row.option) for row in OPTIONS}
    assert documented() - rows - NOT_TRIED.keys() == set(), "give them a row in OPTIONS"


# ---------------------------------------------------------------------- the inputs


def scenes(number: int, seed: int) -> dict[str, Any]:
    arguments = {"num_images": number, "size": [64, 64], "seed": seed, "objects": [1, 3], "object_size": [0.3, 0.5]}
    return {"class_path": "Synthetic", "init_args": arguments}


def videos(seed: int) -> dict[str, Any]:
    arguments = {"num_sequences": 2, "length": 6, "size": [64, 64], "seed": seed}
    return {"class_path": "SyntheticSequences", "init_args": arguments}


def configuration(train: Any, val: Any, test: Any = None, heads: Any = None, seed: int = 0) -> str:
    backbone = {"class_path": "MobileNetV2", "init_args": {"pretrained": False}}
    box = {"class_path": "LTRBHead", "init_args": {"width": 16}}
    heatmap = {"class_path": "HeatmapHead", "init_args": {"width": 16}}
    model = {
        "num_classes": 1 if heads else 6,
        "backbone": backbone,
        "neck": {"class_path": "LiteFPN"},
        "heads": {"heatmap": heatmap, "box": box, **(heads or {})},
        "preprocessing": {"size": [64, 64]},
    }
    data = {"train": train, "val": val, "batch_size": 2, "num_workers": 0} | ({"test": test} if test else {})
    trainer = {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true", "num_sanity_val_steps": 0}
    content = {"seed_everything": seed, "model": model, "data": data, "trainer": trainer, "ema_decay": 0}
    return yaml.safe_dump(content | {"log_images": {"every_n_epochs": 0}})


def write_detections(path: Path, frames: list[int]) -> None:
    """One object that walks to the right, and is missed in frames 4 to 7."""
    rows = [f"{frame},-1,{10 + 2 * frame},20,30,60,0.9,-1,-1,-1\n" for frame in frames if not 4 <= frame <= 7]
    path.write_text("".join(rows))


def run(folder: Path, inputs: Path, line: str, exits: tuple[int, ...] = (0,)) -> str:
    """Run a command in a folder of its own that has the inputs. Returns its words."""
    folder.mkdir()
    for path in inputs.iterdir():
        if path.name == "earlier":  # a run that may go on there
            shutil.copytree(path, folder / path.name)
        else:
            (folder / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        code = main(shlex.split(line))
    assert code in exits, f"centernet {line}: {out.getvalue()[-500:]}"
    return out.getvalue()


def _with_deformable_neck(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with another neck that has learned nothing."""
    import torch

    from centernet import build_centernet

    content: dict[str, Any] = torch.load(path, weights_only=True)
    section = content["hyper_parameters"]
    section["neck"] = {"class_path": "FPN", "init_args": {"width": 64, "convolution": "deformable"}}
    content["state_dict"] = build_centernet({"model": section}).state_dict()
    return content


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, clip_with_sound: Callable[..., None]) -> Path:
    """The files that the rows speak of."""
    import torch
    from safetensors.torch import save_file

    from centernet.data import Synthetic
    from centernet.data.convert import convert
    from centernet.network.backbones import MobileNetV2

    folder = tmp_path_factory.mktemp("inputs")
    training, (one, two, three) = scenes(4, 0), (scenes(3, seed) for seed in (1, 2, 3))
    (folder / "tiny.yaml").write_text(configuration(training, one, three))
    (folder / "other.yaml").write_text(configuration(training, two, three, seed=1))
    embedding = {"embedding": {"class_path": "EmbeddingHead", "init_args": {"width": 16, "dim": 8}}}
    (folder / "tracker.yaml").write_text(configuration(videos(0), videos(1), heads=embedding))
    for place, name in enumerate(("voc1", "voc2")):
        sets = {split: Synthetic(4, size=(64, 64), seed=10 * place + i) for i, split in enumerate(("train", "val"))}
        convert(sets, to="voc", output=folder / name)
    train, val = ({"class_path": "VOC", "init_args": {"root": "voc1", "split": split}} for split in ("train", "val"))
    (folder / "voc.yaml").write_text(configuration(train, val))
    (folder / "photos").symlink_to(folder / "voc1/JPEGImages")
    shutil.copy(Path(matplotlib.get_data_path(), "fonts/ttf/cmtt10.ttf"), folder / "own.ttf")
    names = sorted(path.name for path in (folder / "photos").iterdir())
    for name, place in zip(names, ("nested", "nested/inner"), strict=False):
        (folder / place).mkdir()
        shutil.copy(folder / "photos" / name, folder / place / name)
    rows = [
        "image,class,score,x1,y1,x2,y2",
        *(f"{name},disc,{0.1 + 0.1 * i},5,5,40,40" for i, name in enumerate(names)),
    ]
    (folder / "inverted").mkdir()
    for name in names:
        ImageOps.invert(Image.open(folder / "photos" / name).convert("RGB")).save(folder / "inverted" / name)
    listed = [{"id": i, "file_name": name, "height": 64, "width": 64} for i, name in enumerate(names)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [5, 5, 35, 35]} for i in range(len(names))]
    content = {"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "disc"}]}
    (folder / "far.json").write_text(json.dumps(content))
    (folder / "found").mkdir()
    (folder / "found/detections.csv").write_text("\n".join(rows))
    for name, first in (("one", 1), ("other", 101)):
        images = [{"id": i, "file_name": file} for i, file in enumerate(names, start=first)]
        content = {"images": images, "annotations": [], "categories": [{"id": first, "name": "disc"}]}
        (folder / f"{name}.json").write_text(json.dumps(content))
        torch.manual_seed(first)
        save_file(MobileNetV2(pretrained=False).state_dict(), folder / f"{name}.safetensors")
    if find_spec("av"):  # else those rows cannot be tried
        images = [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(10)]
        clip_with_sound(folder / "clip.mp4", images, "libx264", "aac", "yuv420p")
    (folder / "large").mkdir()
    shutil.copy(folder / "photos" / names[0], folder / "large" / names[0])
    wide = Image.new("RGB", (8200, 4100))  # progressive, so that no part of it can be read alone
    wide.save(folder / "large" / "wide.jpg", progressive=True)
    write_detections(folder / "det.txt", list(range(1, 16)))
    write_detections(folder / "fewer.txt", list(range(1, 12)))
    (folder / "video/gt").mkdir(parents=True)
    truth = "".join(f"{frame},1,{11 + 2 * frame},20,30,60,1,-1,-1,-1\n" for frame in range(1, 16))
    (folder / "video/gt/gt.txt").write_text(truth)
    (folder / "tracks.txt").write_text(truth)
    for name, line in (
        ("first", "--config tiny.yaml"), ("second", "--config other.yaml"), ("tracker", "--config tracker.yaml")
    ):  # fmt: skip
        work = tmp_path_factory.mktemp("trained") / name
        run(work, folder, f"fit {line} --trainer.max_epochs 1")
        (path,) = (work / "runs").rglob("last.ckpt")
        shutil.copy(path, folder / f"{name}.ckpt")
        if name == "first":
            shutil.copytree(work / "runs", folder / "earlier")
    kept = torch.load(folder / "first.ckpt", weights_only=True)
    kept["hyper_parameters"]["preprocessing"]["resize"] = "keep_res"
    torch.save(kept, folder / "kept.ckpt")
    torch.save(_with_deformable_neck(folder / "first.ckpt"), folder / "deformable.ckpt")
    return folder


@pytest.fixture(scope="module")
def outcome(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Row, str | None], Any]:
    """Run a command, each once, and return what came of it."""
    done: dict[str, tuple[Path, str]] = {}

    def result(row: Row, value: str | None) -> Any:
        line = row.line(value)
        if line not in done:
            folder = tmp_path_factory.mktemp("run") / "here"
            done[line] = folder, run(folder, inputs, line, row.exits)
        return row.shows(*done[line])

    return result


@pytest.mark.slow
def test_the_same_command_gives_the_same_result(
    inputs: Path, outcome: Callable[[Row, str | None], Any], tmp_path: Path
) -> None:
    (row,) = (row for row in OPTIONS if row.option == "--optimization.lr")
    run(tmp_path / "again", inputs, row.line(row.one))
    assert weights(tmp_path / "again", "") == outcome(row, row.one)


@pytest.mark.slow
@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.command} {row.option}") for row in OPTIONS])
def test_another_value_gives_another_result(
    row: Row, outcome: Callable[[Row, str | None], Any], request: pytest.FixtureRequest
) -> None:
    if (row.command, row.option) not in documented():
        pytest.skip("the documentation does not have it")
    if row.option == "--show":
        request.getfixturevalue("screen")()
    one, other = outcome(row, row.one), outcome(row, row.other)
    assert one and other and one != other
