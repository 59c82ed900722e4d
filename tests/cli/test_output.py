"""Files that `detect` and `track` write, their places, and runs with one bad image."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet import drawing
from centernet.annotations.found_boxes import read_found
from centernet.cli.main import main
from centernet.data.detect_format import find_format
from centernet.images import read_image
from centernet.inference import CocoWriter, ImageWriter, torch_runtime

Run = Callable[..., int]


@pytest.fixture(params=[("cat", "dog")])
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, find_bright: type) -> Run:
    """Run a command in an empty folder, the model file being a stand-in."""
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: find_bright(*request.param))
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").write_bytes(b"a stand-in")
    return lambda command, *arguments: main([command, *arguments, "--model", "best.ckpt"])


def save(path: str | bytes, size: tuple[int, int] = (120, 160)) -> None:
    """Save an image that is bright in the middle half, for a box of a quarter of the sides to three."""
    image = np.zeros((*size, 3), np.uint8)
    image[size[0] // 4 : size[0] * 3 // 4, size[1] // 4 : size[1] * 3 // 4] = 255
    Path(os.fsdecode(path)).parent.mkdir(exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(cv2.imencode(".png", image)[1].tobytes())


def listing(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.parametrize(("command", "name"), [("detect", "detections"), ("track", "tracks")])
def test_each_run_has_a_folder_of_its_own(run: Run, command: str, name: str) -> None:
    save("photos/a.png")
    for folder in (name, f"{name}2", f"{name}3"):
        assert run(command, "photos", "--format", "json") == 0
        assert listing(folder) == [f"{name}.json"]


@pytest.mark.parametrize("command", ["detect", "track"])
def test_results_that_stay_are_said_where_a_folder_is_given(
    run: Run, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    save("photos/a.png"), save("others/b.png")
    Path("out").mkdir()
    Path("out/notes.md").touch()
    assert run(command, "photos", "--output", "out", "--format", "images,json") == 0
    assert "already" not in capsys.readouterr().err, "a file of the user's is no result"
    assert run(command, "others", "--output", "out", "--format", "images") == 0
    said = capsys.readouterr().err
    assert "already" in said and "images" in said and ".json" in said and "notes" not in said
    assert listing("out/images") == ["a.jpg", "b.jpg"]


def test_times_are_in_all_results_of_a_video(run: Run) -> None:
    pytest.importorskip("av")
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 8, (160, 120))
    save("a.png")
    for _ in range(4):
        writer.write(cv2.imread("a.png"))
    writer.release()
    for command, name in (("detect", "detections"), ("track", "tracks")):
        assert run(command, "clip.avi", "--format", "json,csv") == 0
        content = json.loads(Path(f"{name}/{name}.json").read_text())
        assert [image["time"] for image in content["images"]] == pytest.approx([0, 0.125, 0.25, 0.375])
        with Path(f"{name}/{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["time"]) for row in rows] == pytest.approx([0, 0.125, 0.25, 0.375])
        assert {row["track_id"] for row in rows} == ({""} if command == "detect" else {"1"})
        assert "images.time" in content["info"]["fields"]


def test_results_of_several_sources_are_known_by_their_names(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("one/a.png"), save("other/b.png")
    for expected in (False, True):
        assert run("track", "one", "other", "--output", "out", "--format", "mot") == 0
        assert ("already (one.txt, other.txt)" in capsys.readouterr().err) is expected


def test_label_files_and_crops(run: Run) -> None:
    save("photos/a.png"), save("photos/b.png", (90, 200))
    assert run("detect", "photos", "--format", "txt,txt_scores,voc,crops", "--output", "out") == 0
    assert listing("out") == [
        "Annotations/a.xml", "Annotations/b.xml", "crops/dog/a_1.jpg", "crops/dog/b_1.jpg", "labels/a.txt",
        "labels/b.txt", "labels/classes.txt", "labels_with_scores/a.txt", "labels_with_scores/b.txt",
        "labels_with_scores/classes.txt",
    ]  # fmt: skip
    assert Path("out/labels/classes.txt").read_text() == "cat\ndog\n"
    number, *box = map(float, Path("out/labels/a.txt").read_text().split())
    assert number == 1 and box == pytest.approx([0.5, 0.5, 0.5, 0.5], abs=0.02)
    found = read_found(Path("out/labels_with_scores"))
    assert found.scores == pytest.approx([0.8, 0.8]) and sorted(map(str, found.images)) == ["a", "b"]
    assert read_image("out/crops/dog/b_1.jpg").shape[1] == pytest.approx(100, abs=4)
    assert read_image("out/crops/dog/b_1.jpg").mean() > 230, "the bright part alone"

    Path("voc/JPEGImages").mkdir(parents=True)
    for name in ("a", "b"):
        os.link(f"photos/{name}.png", f"voc/JPEGImages/{name}.png")
    Path("out/Annotations").rename("voc/Annotations")
    source = find_format(Path("voc"))
    dataset = source.open(next(iter(source.splits)))  # as a data set that `check` and `fit` read
    assert [list(map(str, dataset.class_names)), len(dataset)] == [["dog"], 2]
    assert dataset.annotation(1).boxes[0].tolist() == pytest.approx([50, 22, 150, 67], abs=3)


@pytest.mark.parametrize(("command", "file"), [("detect", "detections.json"), ("track", "tracks.json")])
def test_what_labels_say_changes_drawings_alone(run: Run, command: str, file: str) -> None:
    save("a.png")
    options = ["--labels name", "--labels none", "--labels score", "--line-width 9", "--labels id,name,score", ""]
    for i, text in enumerate(options):
        assert run(command, "a.png", "--format", "images,json", "--output", f"out{i}", *text.split()) == 0
    drawn = [read_image(f"out{i}/images/a.jpg") for i in range(len(options))]
    for i, image in enumerate(drawn[:-1]):
        assert not any(np.array_equal(image, other) for other in drawn[:i])
    assert np.array_equal(drawn[-1], drawn[-2]), "without an option labels say all"
    assert len({Path(f"out{i}/{file}").read_bytes() for i in range(len(options))}) == 1
    assert run(command, "a.png", "--labels", "names") == 2 and run(command, "a.png", "--line-width", "0") == 2


@pytest.mark.parametrize("content", [None, b"no font"])
def test_a_font_that_is_none_is_told_at_once(
    run: Run, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    save("a.png")
    if content is not None:
        Path("my.ttf").write_bytes(content)
    assert run("detect", "a.png", "--font", "my.ttf") == 2
    assert "my.ttf" in capsys.readouterr().err and not Path("detections").exists()


@pytest.mark.parametrize("size", [(66_000, 8), (8, 66_000)])
def test_images_longer_than_a_jpeg_are_pngs(
    run: Run, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    save("photos/a.png"), save("photos/b.png", size), save("photos/c.png")
    assert run("detect", "photos") == 0
    assert listing("detections/images") == ["a.jpg", "b.png", "c.jpg"]
    assert read_image("detections/images/b.png").shape[:2] == size
    assert "3 images, 1 of them as PNG" in capsys.readouterr().out


def test_an_image_that_is_too_long_for_a_video_is_left_out_of_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av", reason="OpenCV's encoders take other sizes")
    save("photos/a.png", (8, 66_000)), save("photos/b.png"), save("photos/c.png")
    assert run("detect", "photos", "--format", "video,json") == 1
    said = capsys.readouterr()
    assert "not written: photos/a.png: an image of 66000×8 cannot be encoded" in said.err and "2 frames" in said.out
    capture = cv2.VideoCapture("detections/detections.mp4")
    assert [capture.read()[0] for _ in range(3)] == [True, True, False]
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 160
    assert len(json.loads(Path("detections/detections.json").read_text())["images"]) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
@pytest.mark.parametrize("name", [b"caf\xe9.png", "\u6c7d\u8f66".encode("gbk") + b".png", b"\xff\xfe.png"])
def test_names_that_are_no_utf_8(run: Run, name: bytes) -> None:
    save("photos/a.png"), save(b"photos/" + name), save("photos/z.png")
    formats = "images,json,csv,txt,voc,crops"
    assert run("detect", "photos", "--format", formats) == 0
    images = json.loads(Path("detections/detections.json").read_text(encoding="utf-8"))["images"]
    assert {image["file_name"] for image in images} == {"a.png", os.fsdecode(name), "z.png"}
    assert len(Path("detections/detections.csv").read_text(encoding="utf-8").splitlines()) == 4
    for folder in ("images", "labels", "Annotations", "crops/dog"):
        assert len([file for file in listing(f"detections/{folder}") if file != "classes.txt"]) == 3


@pytest.mark.parametrize("run", [("猫", "汽车")], indirect=True)
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
@pytest.mark.filterwarnings("ignore:no font:UserWarning")
def test_consoles_without_the_letters(run: Run, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    save("a.png")
    Path("汽.png").write_text("no image")
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    with monkeypatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        assert run("detect", "a.png", "汽.png") == 1
    said = {name: stream.buffer.getvalue() if stream.flush() is None else b"" for name, stream in streams.items()}  # type: ignore[attr-defined]
    assert rb"\u6c7d\u8f66" in said["stdout"] and rb"\u6c7d.png" in said["stderr"]
    content = json.loads(Path("detections/detections.json").read_text(encoding="utf-8"))
    assert content["categories"][1]["name"] == "汽车", "files have the name itself"


def broken(method: Any, error: Exception) -> Any:
    """Let a writer fail with the frame b.png."""

    def write(self: Any, frame: Any, detections: Any) -> None:
        if frame.name == "b.png":
            raise error
        method(self, frame, detections)

    return write


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("no form for it"), MemoryError("no room for it"), cv2.error("cannot")),
        *(OSError(errno.ENAMETOOLONG, "File name too long"), OSError(errno.EILSEQ, "Illegal bytes")),
        UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
    ],
)
@pytest.mark.parametrize("writer", [ImageWriter, CocoWriter])
def test_one_image_that_cannot_be_written(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, writer: Any, error: Exception
) -> None:
    for name in ("a", "b", "c"):
        save(f"photos/{name}.png")
    monkeypatch.setattr(writer, "write", broken(writer.write, error))
    assert run("detect", "photos") == 1
    said = capsys.readouterr()
    assert f"not written: photos/b.png: {error}" in said.err and "1 could not be written" in said.out
    whole, part = (2, 3) if writer is ImageWriter else (3, 2)
    assert len(listing("detections/images")) == whole
    assert len(json.loads(Path("detections/detections.json").read_text())["images"]) == part


def test_a_full_disk_ends_the_run(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        save(f"photos/{name}.png")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(ImageWriter, "write", broken(ImageWriter.write, full))
    assert run("detect", "photos") == 1
    said = capsys.readouterr()
    assert "No space left on device" in said.err and "photos/b.png" in said.err and "--output" in said.err
    assert "wrote" not in said.out and listing("detections/images") == ["a.jpg"]


def test_a_long_name_is_one_image_s_problem(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photos/a.png"), save(f"photos/{'b' * 250}.png"), save("photos/c.png")
    assert run("detect", "photos", "--format", "images,json,crops") == 1  # b…b_1.jpg is too long a name
    assert "File name too long" in capsys.readouterr().err
    assert listing("detections/crops") == ["dog/a_1.jpg", "dog/c_1.jpg"] and len(listing("detections/images")) == 3


def test_check_and_detect_have_one_palette() -> None:
    from centernet.data.report_html import class_colours

    names = ["a", "b", "c"]
    expected = [f"rgb({r} {g} {b})" for r, g, b in map(drawing.class_colour, range(3))]
    assert class_colours(names) == dict(zip(names, expected, strict=True))
