"""`centernet detect`: files written, words said, exit codes, with a stand-in for the network."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from centernet.cli.main import main
from centernet.images import read_image
from centernet.inference import torch_runtime

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, find_bright: type) -> Run:
    """Run the command in an empty folder, the model file being a stand-in."""
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: find_bright("cat", "dog"))
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").write_bytes(b"a stand-in")

    def call(*arguments: str) -> int:
        return main(["detect", *arguments, "--model", "best.ckpt"])

    return call


def save(path: str, box: tuple[int, int, int, int] = (20, 30, 100, 90)) -> np.ndarray:
    image = np.zeros((120, 160, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    Path(path).parent.mkdir(exist_ok=True)
    cv2.imwrite(path, image)
    return image


def test_a_photo(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photo.png")
    assert run("photo.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dog 0.80  at 20 30 100 90"
    assert lines[-2] == "1 object in 1 image: 1 dog"
    assert lines[-1].startswith("wrote detections/images (1 image), detections/detections.json")
    assert read_image("detections/images/photo.jpg").shape == (120, 160, 3)
    content = json.loads(Path("detections/detections.json").read_text())
    assert content["annotations"][0]["bbox"] == [20, 30, 80, 60] and content["annotations"][0]["category_id"] == 2


def test_a_folder_in_every_format(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(5):
        save(f"photos/{i}.png", (10 * i, 10, 10 * i + 50, 60))
    assert run("photos", "--output", "out", "--format", "pictures,json,csv", "--batch-size", "2") == 0
    assert len(list(Path("out/images").iterdir())) == 5
    assert len(json.loads(Path("out/detections.json").read_text())["images"]) == 5
    with open("out/detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["x1"]) for row in rows] == pytest.approx([0, 10, 20, 30, 40], abs=1)
    assert capsys.readouterr().out.splitlines()[-1].count("out") == 3


def test_only_what_was_asked_for_is_written(run: Run) -> None:
    save("photo.png")
    assert run("photo.png", "--format", "csv") == 0
    assert [p.name for p in Path("detections").iterdir()] == ["detections.csv"]


def test_several_files_of_equal_names(run: Run) -> None:
    save("a/x.png")
    save("b/x.png")
    assert run("a/x.png", "b/x.png") == 0
    assert sorted(p.name for p in Path("detections/images").iterdir()) == ["b_x.jpg", "x.jpg"]
    images = json.loads(Path("detections/detections.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a/x.png", "b/x.png"]


def test_the_score_threshold(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photo.png")
    assert run("photo.png", "--score-threshold", "0.9") == 0
    assert "0 objects in 1 image\n" in capsys.readouterr().out


def test_a_video(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(12):
        writer.write(save("frame.png", (5 * i, 30, 5 * i + 60, 90)))
    writer.release()
    assert run("clip.avi") == 0
    (video,) = Path("detections").glob("detections.[mw]*")
    assert sorted(path.name for path in Path("detections").iterdir()) == ["detections.json", video.name]
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == 10
    assert run("clip.avi", "--format", "images") == 0
    assert len(list(Path("detections2/images").iterdir())) == 12

    data = Path("clip.avi").read_bytes()
    Path("clip.avi").write_bytes(data[: len(data) * 8 // 10])
    assert run("clip.avi", "--output", "broken", "--format", "images,json") == 1
    output = capsys.readouterr()
    assert "breaks off" in output.err and output.out.splitlines()[-1].startswith("wrote broken")
    done = json.loads(Path("broken/detections.json").read_text())["images"]
    assert 0 < len(done) < 12 and len(list(Path("broken/images").iterdir())) == len(done)


def test_several_sources_in_one_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "other"):
        save(f"{folder}/x.png")
        writer = cv2.VideoWriter(f"{folder}/clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
        for i in range(6):
            writer.write(save("frame.png", (5 * i, 30, 5 * i + 60, 90)))
        writer.release()
    Path("bad.avi").write_bytes(b"none at all")
    assert run("one", "other/x.png", "frame.png", "other/clip.avi", "bad.avi", "--format", "video,json,csv") == 1
    output = capsys.readouterr()
    assert "left out: bad.avi" in output.err and "15 objects in 15 images" in output.out
    names = [f"one_clip_{i:06d}" for i in range(6)], [f"other_clip_{i:06d}" for i in range(6)]
    images = json.loads(Path("detections/detections.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["one/x.png", *names[0], "other/x.png", "frame.png", *names[1]]
    videos = {path.stem for path in Path("detections").iterdir() if path.suffix in (".mp4", ".webm")}
    assert {"one_clip", "other_clip"} < videos
    with open("detections/detections.csv", newline="") as file:
        frames = [int(row["frame"]) for row in csv.DictReader(file)]
    assert frames == [0, *range(6), 0, 1, *range(6)], "numbers begin anew with each video"


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_one_frame_of_so_many(run: Run, kind: str) -> None:
    Path("photos").mkdir()
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(9):
        writer.write(save(f"photos/{i + 1}.png", (5 * i, 30, 5 * i + 60, 90)))
    writer.release()
    source = "clip.avi" if kind == "video" else "photos"
    assert run(source, "--format", "csv,json", "--every", "4") == 0
    with open("detections/detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == [0, 4, 8]
    assert [float(row["x1"]) for row in rows] == pytest.approx([0, 20, 40], abs=3)


def test_unreadable_pictures_of_a_folder_are_named_and_the_rest_is_done(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        save(f"photos/{i}.png")
    Path("photos/1.png").write_text("no picture")
    assert run("photos") == 1
    output = capsys.readouterr()
    assert "left out: photos/1.png" in output.err and "1 left out" in output.out
    assert output.out.splitlines()[-1].startswith("wrote")
    assert len(list(Path("detections/images").iterdir())) == 2


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.jpg", "no such file"),
        ("empty", "no images here"),
        ("bad.jpg", "not an image"),
        ("*.tif", "pattern"),
    ],
)
def test_sources_that_cannot_be_used_write_nothing(
    run: Run, capsys: pytest.CaptureFixture[str], source: str, says: str
) -> None:
    Path("empty").mkdir()
    Path("bad.jpg").write_text("no picture")
    assert run(source) == 1
    text = capsys.readouterr().err
    assert says in text and "Traceback" not in text
    assert not Path("detections").exists()


def test_pictures_are_not_written_over(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("out/images/photo.png") if Path("out").mkdir() is None else None
    before = Path("out/images/photo.png").read_bytes()
    assert run("out/images", "--output", "out") == 1
    assert "write to another" in capsys.readouterr().err
    assert [p.name for p in Path("out/images").iterdir()] == ["photo.png"]
    assert Path("out/images/photo.png").read_bytes() == before


def test_a_missing_model_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photo.png")
    Path("best.ckpt").unlink()
    assert run("photo.png") == 1
    assert "best.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--tile", "photo.jpg"],
        ["--tile-overlap", "2"],
        ["--region", "1", "2", "3"],
        ["--threads", "0"],
        ["--score-threshold", "3"],
        ["--num-detections", "0"],
        ["--every", "0"],
        ["--format", "xml"],
        ["--format", ","],
        ["--nonsense"],
    ],
)
def test_wrong_usage(run: Run, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert run("photo.png", *wrong) == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_part_of_the_picture_in_tiles_and_some_classes_only(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photo.png")
    assert run("photo.png", "--region", "0", "0", "80", "120") == 0
    assert "at 20 30 80 90" in capsys.readouterr().out  # the object is cut by the region
    assert run("photo.png", "--region", "500", "500", "600", "600") == 1
    assert "lies outside" in capsys.readouterr().err
    assert run("photo.png", "--classes", "cat") == 0
    assert "0 objects" in capsys.readouterr().out
    assert run("photo.png", "--classes", "horse") == 1
    assert "'horse' is no class" in capsys.readouterr().err
    big = np.zeros((600, 800, 3), np.uint8)
    big[290:310, 390:420] = 255
    cv2.imwrite("big.png", big)
    assert run("big.png", "--tile", "400", "--tile-overlap", "0.2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "1 object in 1 image: 1 dog"  # each tile sees a part of it
    assert [float(v) for v in lines[0].split()[3:]] == pytest.approx([390, 290, 420, 310], abs=4)


def test_a_camera_s_number_is_no_file(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("7") == 1
    assert "camera 7: there is no such camera" in capsys.readouterr().err
    save("photo.png")
    Path("photo.png").rename("7")
    assert run("7") == 0
    assert "dog 0.80" in capsys.readouterr().out


def annotations(path: str, names: list[str], categories: dict[str, int], first: int = 40) -> None:
    images = [{"id": first + i, "file_name": name, "height": 120, "width": 160} for i, name in enumerate(names)]
    listed = [{"id": number, "name": name} for name, number in categories.items()]
    Path(path).write_text(json.dumps({"images": images, "annotations": [], "categories": listed}))


@pytest.mark.parametrize("categories", [{"cat": 9, "dog": 5}, {"dog": 5}, {"bird": 1, "dog": 5, "cat": 9}])
def test_results_with_the_ids_of_annotations(run: Run, categories: dict[str, int]) -> None:
    from pycocotools.coco import COCO

    for i in (1, 0, 2):
        save(f"photos/{i}.png", (10 * i, 10, 10 * i + 50, 60))
    annotations("val.json", ["somewhere/2.png", "0.png", "1.png", "missing.png"], categories)
    assert run("photos", "--format", "json", "--annotations", "val.json") == 0
    results = COCO("val.json").loadRes("detections/results.json")
    assert [(a["image_id"], a["category_id"], a["bbox"][0]) for a in results.anns.values()] == [
        (41, 5, 0), (42, 5, 10), (40, 5, 20),
    ]  # fmt: skip


def test_images_that_the_annotations_do_not_have_are_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photos/a.png"), save("photos/b.png")
    annotations("val.json", ["a.png"], {"dog": 5})
    assert run("photos", "--format", "json", "--annotations", "val.json") == 1
    assert "1 of 2 images are not in the annotations: photos/b.png" in capsys.readouterr().err
    assert not Path("detections/detections.json").exists()
    annotations("val.json", ["a.png", "x/b.png", "y/b.png"], {"dog": 5})
    assert run("photos", "--annotations", "val.json") == 1
    assert "'photos/b.png' may be x/b.png or y/b.png" in capsys.readouterr().err


def test_objects_of_classes_that_the_annotations_do_not_have(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("photos/a.png")
    annotations("val.json", ["a.png"], {"cat": 1})
    assert run("photos", "--format", "json", "--annotations", "val.json") == 0
    assert json.loads(Path("detections/results.json").read_text()) == []
    assert json.loads(Path("detections/detections.json").read_text())["annotations"] == []
    assert "does not have their classes: dog 1" in capsys.readouterr().out
    annotations("val.json", ["a.png"], {"cow": 1})
    assert run("photos", "--format", "json", "--annotations", "val.json") == 1
    assert "the model's classes are cat, dog, the annotations' cow" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "{}", "nothing", '{"images": [{"id": 1}], "categories": []}'])
def test_annotations_that_are_none(run: Run, capsys: pytest.CaptureFixture[str], text: str) -> None:
    save("photos/a.png")
    Path("val.json").write_text(text)
    assert run("photos", "--annotations", "val.json") == 1
    assert "error: val.json: " in capsys.readouterr().err


@pytest.mark.filterwarnings("default:.*are not looked at")  # the command shows it as a line
def test_subfolders_are_said_or_looked_at(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("top.png", "cam2/x.png", "cam10/x.png", "cam10/deep/y.png"):
        Path("fo", name).parent.mkdir(parents=True, exist_ok=True)
        save(f"fo/{name}")
    assert run("fo", "--format", "json") == 0
    said = capsys.readouterr()
    assert "fo: the images in its subfolders (cam2, cam10) are not looked at; --recursive" in said.err
    assert "in 1 image" in said.out
    assert run("fo", "--format", "json", "--recursive", "--output", "all") == 0
    names = [image["file_name"] for image in json.loads(Path("all/detections.json").read_text())["images"]]
    assert names == ["cam2/x.png", "cam10/deep/y.png", "cam10/x.png", "top.png"]


def test_files_that_are_no_images_are_counted_by_kind(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save("fo/a.png")
    for name in ("a.txt", "b.txt", "IMG_1.NEF", "IMG_2.cr2", "README", ".DS_Store", "._a.png"):
        Path("fo", name).write_bytes(b"x")
    assert run("fo", "--format", "json") == 0
    *_, counts, wrote = capsys.readouterr().out.splitlines()
    assert counts.startswith("fo: not looked at, as no images by their suffix: 2 .txt, 1 ")
    assert "1 .nef" in counts and "1 .cr2" in counts and "1 without suffix" in counts and "DS_Store" not in counts
    assert counts.endswith("2 are raw photographs of cameras: develop them first") and wrote.startswith("wrote ")
    save("plain/a.png")
    assert run("plain", "--format", "json") == 0 and "not looked at" not in capsys.readouterr().out


def test_frames_are_in_the_order_of_their_numbers(run: Run) -> None:
    for number in (1, 2, 9, 10, 11, 100):
        save(f"fo/frame_{number}.png")
    for source in ("fo", "fo/frame_*.png"):
        assert run(source, "--format", "json", "--output", "out") == 0
        names = [image["file_name"] for image in json.loads(Path("out/detections.json").read_text())["images"]]
        assert [Path(name).stem for name in names] == [f"frame_{number}" for number in (1, 2, 9, 10, 11, 100)]
