"""No output takes the place of an input, by whatever name, link or folder it is reached."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.cli.main import main
from centernet.detections import Detections
from centernet.inference import VideoWriter, frames, torch_runtime
from centernet.inference.guard import Inputs

from .conftest import BOXES, FindWhite, save, save_video, scene

NOTHING = Detections.empty()


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in an empty folder, with a stand-in for the network."""
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: FindWhite())
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").touch()


def video(path: str) -> bytes:
    made = save_video(Path(path).with_suffix(".avi"), [scene((4 * i, 10, 4 * i + 40, 70)) for i in range(8)])
    made.rename(path)
    return Path(path).read_bytes()


LINKS: dict[str, Callable[[str, str], Any]] = {
    "itself": lambda source, target: None if source == target else shutil.move(source, target),
    "a symbolic link": lambda source, target: os.symlink(os.path.abspath(source), target),
    "a hard link": os.link,
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_a_video_is_not_written_over_itself(capsys: pytest.CaptureFixture[str], link: str, suffix: str) -> None:
    before = video(f"clip{suffix}")
    source = f"clip{suffix}"
    LINKS[link](source, f"tracks{suffix}")
    source = source if Path(source).exists() else f"tracks{suffix}"
    assert main(["track", source, "--model", "best.ckpt", "--output", ".", "--format", "mot,video"]) == 1
    assert f"tracks{suffix}: is " in capsys.readouterr().err
    assert Path(source).read_bytes() == before
    assert not Path("tracks.txt").exists(), "nothing is written before the check"


def test_a_video_writer_alone_refuses_it_too() -> None:
    before = video("tracks.mp4")
    with pytest.raises(ValueError, match=r"tracks\.mp4: is an input of this run"), VideoWriter("tracks") as writer:
        for frame in frames("tracks.mp4"):
            writer.write(frame, NOTHING)
    assert Path("tracks.mp4").read_bytes() == before


def test_detections_are_not_written_over() -> None:
    Path("tracks.txt").write_text("".join(f"{i},-1,10,10,20,20,0.9,-1,-1,-1\n" for i in range(1, 9)))
    before = Path("tracks.txt").read_text()
    assert main(["track", "--detections", "tracks.txt", "--output", "."]) == 1
    os.symlink("tracks.txt", "det.txt")
    assert main(["track", "--detections", "det.txt", "--output", ".", "--format", "mot"]) == 1
    assert Path("tracks.txt").read_text() == before
    assert main(["track", "--detections", "tracks.txt", "--output", "out"]) == 0


@pytest.mark.parametrize("linked", [False, True])
def test_images_are_not_drawn_over(capsys: pytest.CaptureFixture[str], linked: bool) -> None:
    for i in range(3):
        save(Path(f"out/images/{i}.jpg"), scene(BOXES[i]))
    before = {path: path.read_bytes() for path in Path("out/images").iterdir()}
    source = "out/images"
    if linked:  # the folder of another name, and the files of the first one in the new one
        os.symlink("out/images", "photos")
        source = "photos"
    assert main(["detect", source, "--model", "best.ckpt", "--output", "out", "--format", "images"]) == 1
    assert "images" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("out/images").iterdir()} == before


def test_an_earlier_result_among_the_images_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("photos/a.jpg"), scene(BOXES[0]))
    command = ["detect", "photos", "--model", "best.ckpt", "--output", "photos/found", "--format", "images"]
    assert main(command) == 0
    before = Path("photos/found/images/a.jpg").read_bytes()
    assert main([*command, "--recursive"]) == 1
    assert "photos/found/images: the images themselves are in this folder" in capsys.readouterr().err
    assert Path("photos/found/images/a.jpg").read_bytes() == before


def test_annotations_and_figures_are_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    save(Path("photos/a.png"), scene(BOXES[0]))
    text = (
        '{"images": [{"id": 1, "file_name": "photos/a.png", "width": 160, "height": 120}], "annotations": '
        '[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 60], "area": 3000, "iscrowd": 0}], '
        '"categories": [{"id": 1, "name": "white"}, {"id": 2, "name": "other"}]}'
    )
    for name in ("out/detections.json", "figures.json", "defects.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    Path("found.json").write_text('[{"image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 60], "score": 0.9}]')
    os.link("found.json", "figures_of_it.json")
    for command in (
        "detect photos/a.png --model best.ckpt --output out --format json --annotations out/detections.json",
        "evaluate figures.json found.json --output .",
        "check defects.json --fix-report defects.json --read-images none",
    ):
        assert main(command.split()) == 1, command
        assert "would be written over" in capsys.readouterr().err, command
    assert all(Path(name).read_text() == text for name in ("out/detections.json", "figures.json", "defects.json"))


def test_what_is_not_there_cannot_be_written_over() -> None:
    inputs = Inputs([np.zeros(3), 0, None, "missing.mp4", "https://example.org/a.jpg"])
    inputs.check("missing.mp4", "other.mp4", "bad\0name")
    Path("there.mp4").touch()
    Inputs(["there.mp4"]).check("There.mp4", "there.webm")
    with pytest.raises(ValueError, match=r"there\.mp4: is the same file as the input linked\.mp4"):
        os.link("there.mp4", "linked.mp4")
        Inputs(["linked.mp4"]).check("there.mp4")
