"""`detect` and `track` that are stopped and go on: what is finished is skipped, and the end is the same."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.cli.journal import NAME
from centernet.cli.main import main
from centernet.images import Preprocessing
from centernet.inference import torch_runtime

Stop = Callable[[], None]
FORMATS = "images,json,csv,txt,txt_scores,voc,cvat,label_studio,labelme,crops"


class FindBright:
    """One box around what is bright; it counts its images, and does something at one of them."""

    preprocessing = Preprocessing((64, 64))
    class_names = ("cat", "dog")

    def __init__(self) -> None:
        self.seen, self.at, self.then = 0, -1, lambda: None

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        self.seen += len(images)
        if self.seen >= self.at > 0:
            self.at = -1
            self.then()
        n, k = len(images), num_detections
        bboxes, scores = np.zeros((n, k, 4), np.float32), np.zeros((n, k), np.float32)
        for i, image in enumerate(images):
            rows, columns = np.nonzero((image > 127).all(-1))
            bboxes[i, 0] = columns.min() + 1 / 3, rows.min(), columns.max() + 1, rows.max() + 1
            scores[i, 0] = 0.5 + image.mean() / 1000
        return {"bboxes": bboxes, "labels": np.ones((n, k), np.int64), "scores": scores}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FindBright:
    """The stand-in for `best.ckpt` in an empty folder, with two folders of images."""
    found = FindBright()
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: found)
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").write_bytes(b"a stand-in")
    for folder, count in (("one", 6), ("other", 4)):
        Path(folder).mkdir()
        for number in range(count):
            image = np.zeros((60, 80, 3), np.uint8)
            image[10 : 30 + 3 * number, 20 : 50 + number] = 255
            cv2.imwrite(f"{folder}/{number}.png", image)
    return found


def run(*arguments: str) -> int:
    return main([*arguments, "--model", "best.ckpt", "--batch-size", "1"])


def content(folder: str) -> dict[str, bytes]:
    """Every file of a folder, by its name."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}


def raising(error: type[BaseException]) -> Stop:
    def stop() -> None:
        raise error

    return stop


STOPS: list[tuple[Stop, int]] = [
    (lambda: signal.raise_signal(signal.SIGTERM), 143),
    (raising(KeyboardInterrupt), 130),
    (raising(RuntimeError), 1),
]


@pytest.mark.parametrize(("stop", "code"), STOPS)
@pytest.mark.parametrize("at", [1, 3, 6])
def test_images_that_are_done_are_skipped_and_the_end_is_the_same(
    model: FindBright, capsys: pytest.CaptureFixture[str], stop: Stop, code: int, at: int
) -> None:
    assert run("detect", "one", "--format", FORMATS, "--output", "whole") == 0
    said = capsys.readouterr().out.replace("whole", "out")
    model.seen, model.at, model.then = 0, at, stop
    assert run("detect", "one", "--format", FORMATS, "--output", "out") == code
    output = capsys.readouterr()
    assert "Traceback" not in output.err and (code == 1 or at == 1 or "--output out --resume" in output.err)
    if at > 1:
        done = len(json.loads(Path("out/detections.json").read_text())["images"])
        assert 0 < done < 6, "what was done is in the file"
    model.seen = 0
    assert run("detect", "one", "--format", FORMATS, "--output", "out", "--resume") == 0
    assert content("out") == content("whole")
    assert model.seen <= 6 - (at - 2 if at > 2 else 0)
    assert capsys.readouterr().out == said


def test_a_run_that_was_killed_goes_on_from_its_record(model: FindBright, tmp_path: Path) -> None:
    """After SIGKILL nothing but the record and the files of single images is there, its last row perhaps cut off."""
    assert run("detect", "one", "--format", FORMATS, "--output", "whole") == 0
    model.at, model.then = model.seen + 4, raising(RuntimeError)
    assert run("detect", "one", "--format", FORMATS, "--output", "out") == 1
    record = Path("out", NAME).read_bytes()
    Path("out/detections.json").unlink(), Path("out/detections.csv").unlink()
    Path("out").rename("kept")
    for cut in (len(record) - 7, record.index(b"\n") + 5, 10, 0):
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree("kept", "out")
        Path("out", NAME).write_bytes(record[:cut])
        assert run("detect", "one", "--format", FORMATS, "--output", "out", "--resume") == 0
        assert content("out") == content("whole")


def test_a_file_that_is_gone_is_written_anew(model: FindBright) -> None:
    assert run("detect", "one", "--format", "images,crops", "--output", "whole") == 0
    model.at, model.then = model.seen + 5, raising(RuntimeError)
    assert run("detect", "one", "--format", "images,crops", "--output", "out") == 1
    Path("out/images/0.jpg").unlink(), Path("out/crops/dog/1_1.jpg").unlink()
    assert run("detect", "one", "--format", "images,crops", "--output", "out", "--resume") == 0
    assert content("out") == content("whole")


@pytest.mark.parametrize("formats", ["mot,json", "mot,csv,video"])
def test_sequences_that_are_done_are_skipped(
    model: FindBright, capsys: pytest.CaptureFixture[str], formats: str
) -> None:
    command = ("track", "one", "other", "--format", formats)
    assert run(*command, "--output", "whole") == 0
    said = capsys.readouterr().out.replace("whole", "out")
    model.seen, model.at, model.then = 0, 8, lambda: signal.raise_signal(signal.SIGTERM)
    assert run(*command, "--output", "out") == 143
    assert "to go on, give the same command with --output out --resume" in capsys.readouterr().err
    before = Path("out/one.txt").stat().st_mtime_ns
    model.seen = 0
    assert run(*command, "--output", "out", "--resume") == 0 and model.seen == 4
    assert Path("out/one.txt").stat().st_mtime_ns == before, "it was finished"
    assert content("out") == content("whole") and capsys.readouterr().out == said


def test_the_record_of_another_command_or_model_is_not_gone_on_with(
    model: FindBright, capsys: pytest.CaptureFixture[str]
) -> None:
    model.at, model.then = 3, raising(RuntimeError)
    assert run("detect", "one", "--output", "out", "--format", "json") == 1
    capsys.readouterr()
    assert run("detect", "other", "--output", "out", "--format", "json", "--resume") == 1
    assert "results of another command, centernet detect one" in capsys.readouterr().err
    Path("best.ckpt").write_bytes(b"trained for longer")
    assert run("detect", "one", "--output", "out", "--format", "json", "--resume") == 1
    assert "another state of its model" in capsys.readouterr().err
    assert run("detect", "one", "--output", "out", "--format", "json") == 0 and not Path("out", NAME).exists()


def test_without_an_output_the_stopped_run_is_found(model: FindBright) -> None:
    assert run("detect", "one", "--format", "json", "--resume") == 0, "nothing was begun: from the start"
    model.at, model.then = model.seen + 3, raising(KeyboardInterrupt)
    assert run("detect", "one", "--format", "json") == 130
    model.seen = 0
    assert run("detect", "one", "--format", "json", "--resume") == 0 and model.seen < 6
    assert content("detections2") == content("detections") and not Path("detections3").exists()


def test_unreadable_images_are_tried_again(model: FindBright, capsys: pytest.CaptureFixture[str]) -> None:
    Path("one/2.png").write_text("no picture")
    assert run("detect", "one", "--format", "json,csv", "--output", "whole") == 1
    model.at, model.then = model.seen + 4, raising(KeyboardInterrupt)
    assert run("detect", "one", "--format", "json,csv", "--output", "out") == 130
    capsys.readouterr()
    assert run("detect", "one", "--format", "json,csv", "--output", "out", "--resume") == 1
    assert "left out: one/2.png" in capsys.readouterr().err and content("out") == content("whole")


def test_a_second_run_is_told_that_the_folder_is_in_use(model: FindBright, capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    model.at, model.then = 3, lambda: codes.append(run("detect", "other", "--format", "json", "--output", "out"))
    assert run("detect", "one", "--format", "json", "--output", "out") == 0
    assert codes == [1] and "writes to this folder now" in capsys.readouterr().err
    assert len(json.loads(Path("out/detections.json").read_text())["images"]) == 6
    assert list(content("out")) == ["detections.json"]


def test_a_full_disk_is_named_and_wrote_is_said_of_what_is_there(
    model: FindBright, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("detect", "other", "--format", "json,csv", "--output", "out") == 0
    before = content("out")
    capsys.readouterr()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert run("detect", "one", "--format", "json,csv", "--output", "out") == 1
    output = capsys.readouterr()
    assert (
        "wrote" not in output.out and "not written: out/detections.csv: was not written: its disk is full" in output.out
    )
    assert "its disk is full; free space" in output.err and "the file of before is as it was" in output.err
    assert {name: data for name, data in content("out").items() if name != NAME} == before
