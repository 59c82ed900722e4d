"""Words of other programs: answered with ours and a command that runs, and never taken in silence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centernet.cli import fit
from centernet.cli.arguments import _Parser
from centernet.cli.main import main
from centernet.cli.synonyms import FIT, TABLES, Ours

ROOT = Path(__file__).resolve().parents[2]


class Parsed(Exception):
    """The arguments of a command were understood."""


@pytest.fixture
def correct(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Return the command that an answer ends with."""

    def run(line: str) -> str:
        assert main(shlex.split(line)) == 2, line
        output = capsys.readouterr()
        assert output.out == "" and output.err.startswith("error: centernet "), output
        assert output.err.splitlines()[-2] == "the whole command:"
        return output.err.splitlines()[-1].strip().removeprefix("centernet ")

    return run


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("predict model=best.pt source=photo.jpg conf=0.4", "detect photo.jpg --model best.pt --score-threshold 0.4"),
        ("yolo predict model=best.pt source=a.jpg", "detect a.jpg --model best.pt"),
        ("yolo detect predict source='my photos' save=True", "detect 'my photos'"),
        ("detect --source a.jpg b.jpg --weights w.pt", "detect a.jpg b.jpg --model w.pt"),
        ("detect a.jpg --conf-thres .3 --iou-thres .5 --img 640", "detect a.jpg --score-threshold .3"),
        ("detect a.jpg --imgsz 640 480 --device 0 --max-det 9", "detect a.jpg --device 0 --num-detections 9"),
        ("detect a.jpg --project runs --name exp --exist-ok", "detect a.jpg --output runs/exp"),
        ("detect a.jpg name=exp project=runs", "detect a.jpg --output runs/exp"),
        ("detect a.jpg --save-txt --save-crop", "detect a.jpg --format images,txt,crops"),
        ("detect a.mp4 save_txt=True vid_stride=5", "detect a.mp4 --format video,txt --every 5"),
        ("detect a.mp4 --nosave --save-txt", "detect a.mp4 --format txt"),
        ("detect a.jpg save=False", "detect a.jpg --format json"),
        ("detect a.jpg --view-img", "detect a.jpg --show"),
        ("detect a.jpg show=True", "detect a.jpg --show"),
        ("detect a.jpg show=False conf=.1", "detect a.jpg --score-threshold .1"),
        ("detect a.jpg --classes 0 2", "detect a.jpg --classes person,car"),
        ("detect a.jpg classes=[0,16]", "detect a.jpg --classes person,dog"),
        ("detect a.jpg --line-thickness 2 --hide-labels", "detect a.jpg --line-width 2 --labels none"),
        ("detect --model m.onnx --conf=0.5 a.jpg", "detect a.jpg --model m.onnx --score-threshold 0.5"),
        ("detect a.jpg --confidence 0.5 --half --augment", "detect a.jpg --score-threshold 0.5"),
        ("detect threshold=0.5", "detect SOURCE --score-threshold 0.5"),
        ("track source=a.mp4 tracker=bytetrack.yaml persist=True", "track a.mp4 --preset bytetrack"),
        ("track a.mp4 tracker=botsort.yaml track_buffer=60", "track a.mp4 --preset default --lost-seconds 2"),
        ("track a.mp4 --track_thresh 0.5 --match_thresh 0.8", "track a.mp4 --high-score 0.5"),
        ("train data=coco8.yaml epochs=3 imgsz=64 batch=8", "finetune coco8.yaml --epochs 3 --size 64 --batch-size 8"),
        ("fit --data coco8.yaml --epochs 3", "finetune coco8.yaml --epochs 3"),
        (
            "finetune data lr0=0.01 name=out",
            "finetune data --output out --dry-run && "
            "centernet fit --config out/finetune.yaml --output out --optimization.lr 0.01",
        ),
        (
            "train --config a.yaml --epochs 3 -b 16 --lr .1",
            "fit --config a.yaml --trainer.max_epochs 3 --data.batch_size 16 --optimization.lr .1",
        ),
        ("fit --config a.yaml imgsz=640", "fit --config a.yaml --model.preprocessing.size '[640, 640]'"),
        ("val model=b.ckpt data=coco.yaml", "validate --ckpt_path b.ckpt --config config.yaml"),
        ("export model=b.ckpt format=onnx half=True", "export b.ckpt --precision float16 --format onnx"),
        ("export --weights b.ckpt --include onnx --imgsz 640 480", "export b.ckpt --input-size 640 480 --format onnx"),
        ("benchmark model=b.ckpt imgsz=640", "benchmark b.ckpt"),
        ("check data=coco.yaml imgsz=640", "check coco.yaml --size 640"),
        ("evaluate --gt a.json --results b.json", "evaluate a.json b.json"),
        ("evaluate-tracking --gt_folder gt --trackers_folder res", "evaluate-tracking gt res"),
        ("convert-data --input a --to coco --out b", "convert-data a --to coco --output b"),
    ],
)  # fmt: skip
def test_the_whole_command(correct: Callable[[str], str], theirs: str, ours: str) -> None:
    command, *tokens = shlex.split(correct(theirs))
    assert sorted(tokens) == sorted(shlex.split(ours)[1:]) and command == ours.split()[0]
    assert tokens[:1] == shlex.split(ours)[1:2] or tokens[0].startswith("--")


def test_each_word_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "source=a.jpg", "conf=.3", "--iou", ".5", "save=True", "nonsense=1"]) == 2
    lines = [re.split(" {2,}", line.strip()) for line in capsys.readouterr().err.splitlines()[1:-2]]
    said = {line[0]: line[1] for line in lines}
    assert said["predict"] == "centernet detect" and said["conf=.3"] == "--score-threshold .3"
    assert said["--iou .5"].startswith("no counterpart: ") and said["save=True"].startswith("nothing to write: ")
    assert said["nonsense=1"].startswith("no counterpart: there is no option of this name")


@pytest.mark.parametrize("line", ["detect predict.jpg", "detect conf=1.jpg", "check train", "detect source=x"])
def test_files_may_be_called_so(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(line.split()[1]).write_text("no image")
    assert main(line.split()) == 1
    assert "the whole command" not in capsys.readouterr().err


def test_the_configuration_beside_a_checkpoint_is_found(correct: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "version_0/checkpoints").mkdir(parents=True)
    (tmp_path / "version_0/config.yaml").touch()
    said = correct(f"val model={tmp_path}/version_0/checkpoints/best.ckpt")
    assert said.endswith(f"--config {tmp_path}/version_0/config.yaml")


VALUES = {"preset": "bytetrack", "optimizer": "SGD", "cache": "ram", "devices": "cpu", "size": "64", "": "7"}
SHARES = ("--score-threshold", "--high-score", "--low-score", "--new-score")
CONFIG = f"{ROOT}/configs/voc_mobilenet_v2.yaml"
OF_OPTIONS = {
    "--threshold": "0.5",
    "--fusion-iou": "0.5",
    "--device": "cpu",
    "--format": "onnx",
    "--to": "coco",
    "--config": CONFIG,
}
OF_OPTIONS |= dict.fromkeys(SHARES, "0.5")
SOURCES = {
    "label": "x.jpg --output out",
    "evaluate": "a b",
    "evaluate-tracking": "a b",
    "convert-data": "a --to coco --output b",
}
WITH_SOURCES = [name for name in TABLES if name not in ("fit", "validate")]


def value_of(ours: Ours) -> str:
    option, _, form = (ours.words or "").partition(" ")
    return OF_OPTIONS.get(option) or VALUES.get(form.strip("{}"), "7")


def forms_of(name: str, ours: Ours) -> list[list[str]]:
    """Return the ways in which a word is typed."""
    value = value_of(ours)
    dashed = [f"--{name}" if len(name) > 1 else f"-{name}", *[value] * ours.valued]
    return [dashed, *([f"{name}={text}"] for text in ([value] if ours.valued else ["True", "False"]))]


@pytest.mark.parametrize("command", WITH_SOURCES)
def test_every_word_becomes_one_that_the_command_takes(
    command: str, correct: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row alone; the answer is parsed, and nothing is asked again."""
    real, seen = _Parser.parse_known_args, []

    def parse(self: Any, args: Any = None, namespace: Any = None) -> Any:
        seen.append(self)
        real(self, args, namespace)
        raise Parsed

    for name, ours in TABLES[command].items():
        for words in forms_of(name, ours):
            own = seen and words[0] in seen[0]._option_string_actions
            if own or (ours.words == "{}" and command in SOURCES):  # two of them are needed
                continue
            source = [] if ours.words == "{}" else shlex.split(SOURCES.get(command, "x.jpg"))
            said = correct(shlex.join([command, *source, *words]))
            with monkeypatch.context() as patch:
                patch.setattr(_Parser, "parse_known_args", parse)
                with pytest.raises(Parsed):
                    run_directly(said)


def run_directly(line: str) -> None:
    """Run a command without what turns errors into exit codes."""
    from importlib import import_module

    command, *rest = shlex.split(line)
    import_module(f"centernet.cli.{command.replace('-', '_')}").main(rest)


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.filterwarnings("ignore")
def test_every_word_becomes_one_that_the_configuration_has(command: str, correct: Callable[[str], str]) -> None:
    parser = fit._parser(command)  # type: ignore[arg-type]
    lines = set()
    for name, ours in TABLES[command].items():
        for (words,) in forms_of(name, ours)[1:]:
            lines.add(correct(f"{command} --config {CONFIG} {words}"))
    # All of them at once, as the parser is slow: each option is there, and takes the value.
    options: dict[str, list[str]] = {}
    for line in lines:
        tokens = shlex.split(line)[3:]
        for i, token in enumerate(tokens):
            if token.startswith("--"):
                options[token] = [text for text in tokens[i + 1 : i + 2] if not text.startswith("--")]
    flat = [text for option, values in options.items() for text in (option, *values)]
    parser.parse_args(["--config", CONFIG, *flat])
    assert len(options) > 12


def test_what_finetune_leaves_to_fit_is_there() -> None:
    assert {"lr0", "device", "seed", "patience", "resume"} <= FIT.keys()
