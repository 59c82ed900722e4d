"""Files that other tools read, whole after an interruption, with the right names and numbers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from centernet import whole
from centernet.annotations.found_boxes import read_found
from centernet.annotations.image_names import ImageNames
from centernet.data import read_mot_detections
from centernet.detections import Column, Detections
from centernet.images import read_image
from centernet.inference import (
    CocoWriter,
    CropWriter,
    CsvWriter,
    Frame,
    ImageWriter,
    MotWriter,
    VocWriter,
    YoloWriter,
)

NAMES = ("cat", "Hündin", "bird, big")


def frame(name: str = "a.jpg", index: int = 0, path: Path | None = None, size: tuple[int, int] = (60, 80)) -> Frame:
    return Frame(np.full((*size, 3), 128, np.uint8), name, path or Path(name), index)


def found(*rows: tuple[float, ...]) -> Detections:
    """Rows of x1 y1 x2 y2 label score."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5], class_names=NAMES)  # type: ignore[arg-type]


class TestPictures:
    def test_names_are_the_pictures_own(self, tmp_path: Path) -> None:
        with ImageWriter(tmp_path / "out") as writer:
            writer.write(frame("photo.png"), found((10, 10, 40, 40, 0, 0.9)))
            writer.write(Frame(frame().image, "clip_000003", Path("clip.v2.mp4"), 3), found())
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clip_000003.jpg", "photo.jpg"]
        assert read_image(tmp_path / "out/photo.jpg").shape == (60, 80, 3)
        assert np.ptp(read_image(tmp_path / "out/photo.jpg")) > 60, "nothing drawn"
        assert "2 images" in writer.summary() and str(tmp_path / "out") in writer.summary()

    def test_equal_names_do_not_overwrite_each_other(self, tmp_path: Path) -> None:
        names = ["a/x.jpg", "b/x.jpg", "a/X.JPG", "b/x.png", "c/b_x.jpg", "x.jpg", "x.jpg"]
        with ImageWriter(tmp_path / "out") as writer:
            for i, name in enumerate(names):
                writer.write(frame(name, size=(20 + i, 30)), found())
        written = sorted((tmp_path / "out").iterdir())
        assert len({p.name.casefold() for p in written}) == len(names)
        assert sorted(read_image(p).shape[0] for p in written) == [20 + i for i in range(len(names))]
        assert {"x.jpg", "b_x.jpg"} <= {p.name for p in written}

    def test_equal_stems_of_a_folder_get_their_suffix(self, tmp_path: Path) -> None:
        with ImageWriter(tmp_path / "out") as writer:
            for name in ("x.bmp", "x.png", "x.tiff"):
                writer.write(frame(name), found())
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["x.jpg", "x_png.jpg", "x_tiff.jpg"]

    def test_the_pictures_themselves_are_never_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(b"mine")
        with ImageWriter(tmp_path) as writer, pytest.raises(ValueError, match="write to another"):
            writer.write(frame("photo.jpg", path=path), found())
        assert path.read_bytes() == b"mine"


class TestCoco:
    def test_a_coco_library_reads_it(self, tmp_path: Path) -> None:
        coco_tools = pytest.importorskip("pycocotools.coco")
        path = tmp_path / "out/detections.json"
        with CocoWriter(path, NAMES) as writer:
            writer.write(frame("a.jpg"), found((10, 20, 40, 60, 2, 0.9), (0, 0, 5, 5, 0, 0.4)))
            writer.write(frame("b.jpg", 1), found())
            writer.write(frame("c.jpg", 2, size=(30, 40)), found((1, 2, 3, 4, 1, 0.5)))
        coco = coco_tools.COCO(str(path))
        assert [(i["file_name"], i["height"], i["width"]) for i in coco.imgs.values()] == [
            ("a.jpg", 60, 80),
            ("b.jpg", 60, 80),
            ("c.jpg", 30, 40),
        ]
        assert [c["name"] for c in coco.cats.values()] == list(NAMES) and list(coco.cats) == [1, 2, 3]
        first = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
        assert [coco.cats[a["category_id"]]["name"] for a in first] == ["bird, big", "cat"]
        assert first[0]["bbox"] == [10, 20, 30, 40] and first[0]["area"] == 1200
        assert "3 objects" in writer.summary()

    def test_without_class_names_categories_are_numbers(self, tmp_path: Path) -> None:
        with CocoWriter(tmp_path / "d.json") as writer:
            writer.write(frame(), Detections([[0, 0, 1, 1]], [4], [0.5]))  # type: ignore[arg-type]
        content = json.loads((tmp_path / "d.json").read_text())
        assert content["categories"][4] == {"id": 5, "name": "4"} and content["annotations"][0]["category_id"] == 5

    def test_an_interruption_leaves_a_whole_file_of_what_was_done(self, tmp_path: Path) -> None:
        path = tmp_path / "d.json"
        with pytest.raises(KeyboardInterrupt), CocoWriter(path, NAMES) as writer:
            writer.write(frame(), found((0, 0, 5, 5, 0, 0.4)))
            raise KeyboardInterrupt
        content = json.loads(path.read_text(encoding="utf-8"))
        assert len(content["images"]) == len(content["annotations"]) == 1
        assert [p.name for p in tmp_path.iterdir()] == ["d.json"]

    def test_an_earlier_file_is_replaced_only_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "d.json"
        path.write_text("earlier")
        with CocoWriter(path, NAMES) as writer:
            writer.write(frame(), found())
            assert path.read_text() == "earlier"
        assert json.loads(path.read_text())["annotations"] == []

    def test_the_file_says_its_version_and_what_its_fields_are(self, tmp_path: Path) -> None:
        columns = [Column("pose", "points", (2, 3)), Column("age", "value"), Column("look", "vector", (4,))]
        data = {"pose": np.zeros((1, 2, 3)), "age": [3.0], "look": np.zeros((1, 4))}
        objects = Detections([[0, 0, 9, 9]], [0], [0.5], track_ids=[7], class_names=NAMES, columns=columns, data=data)  # type: ignore[arg-type]
        with CocoWriter(tmp_path / "d.json", NAMES) as writer:
            writer.write(frame(), objects)
            writer.write(Frame(frame().image, "clip_000001", Path("clip.mp4"), 1, 0.04), objects)
        content = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
        info = content.pop("info")
        assert re.fullmatch(r"\d+\.\d+", info["version"])
        written = {f"{key}.{field}" for key in ("images", "annotations") for row in content[key] for field in row}
        standard = {"images.height", "images.width", "annotations.id", "annotations.image_id"}
        assert info["fields"].keys() >= written - standard and "annotations.look" not in info["fields"]
        assert info["fields"].keys() <= written, "nothing is described that is not there"
        assert [image.get("time") for image in content["images"]] == [None, 0.04]
        found = read_found(tmp_path / "d.json")
        assert found.images == ["a.jpg", "clip_000001"] and found.classes == ["cat", "cat"]

    def test_nothing_written_is_still_json(self, tmp_path: Path) -> None:
        with CocoWriter(tmp_path / "d.json", NAMES):
            pass
        assert json.loads((tmp_path / "d.json").read_text())["images"] == []


class TestCsv:
    def test_rows_are_objects(self, tmp_path: Path) -> None:
        path = tmp_path / "out/d.csv"
        with CsvWriter(path) as writer:
            writer.write(frame("a, b.jpg", 7), found((10, 20, 40.255, 60, 2, 0.9), (0, 0, 5, 5, 1, 0.4)))
            assert not path.exists(), "whole or not there"
            writer.write(frame("c.jpg", 8), found())
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows[0]["image"] == "a, b.jpg" and rows[0]["class"] == "bird, big" and rows[0]["frame"] == "7"
        assert [float(rows[0][key]) for key in ("x1", "y1", "x2", "y2", "score")] == pytest.approx(
            [10, 20, 40.26, 60, 0.9], abs=0.01
        )
        assert rows[1]["class"] == "Hündin" and rows[1]["track_id"] == ""
        assert "2 rows" in writer.summary()

    def test_times_are_written_and_both_forms_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "d.csv"
        with CsvWriter(path) as writer:
            for index, time in enumerate((None, 0.0, 1 / 3)):
                writer.write(Frame(frame().image, f"{index}.jpg", None, index, time), found((0, 0, 5, 5, 1, 0.4)))
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["time"] for row in rows] == ["", "0.0", "0.333333"]
        earlier = tmp_path / "earlier.csv"
        with earlier.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, [key for key in rows[0] if key != "time"], extrasaction="ignore")
            table.writeheader(), table.writerows(rows)
        new, old = read_found(path), read_found(earlier)
        assert new.images == old.images == ["0.jpg", "1.jpg", "2.jpg"] and np.array_equal(new.boxes, old.boxes)

    @pytest.mark.parametrize("name", ["caf\udce9.jpg", "\udcc6\udcfb.jpg", "a\\u00e9.jpg"])
    def test_bytes_that_are_no_utf_8_are_read_again(self, tmp_path: Path, name: str) -> None:
        for writer in (CsvWriter(tmp_path / "d.csv"), CocoWriter(tmp_path / "d.json", NAMES)):
            with writer:
                writer.write(frame(name), found((0, 0, 5, 5, 1, 0.4)))
            writer.path.read_text(encoding="utf-8")
            assert read_found(writer.path).images == [name]

    @pytest.mark.parametrize("name", ["=cmd|'calc'!A1.jpg", "-1.jpg", "+a.jpg", "@b.jpg"])
    def test_names_are_no_formulas(self, tmp_path: Path, name: str) -> None:
        with CsvWriter(tmp_path / "d.csv") as writer:
            writer.write(frame(name), found((0, 0, 5, 5, 1, 0.4)))
        (image,) = read_found(tmp_path / "d.csv").images
        assert str(image)[0] == "." and ImageNames([name, "other.jpg"]).find(str(image)) == 0

    def test_track_ids_are_written(self, tmp_path: Path) -> None:
        with CsvWriter(tmp_path / "d.csv") as writer:
            writer.write(frame(), Detections([[0, 0, 1, 1]], [0], [0.5], track_ids=[12]))  # type: ignore[arg-type]
        assert (tmp_path / "d.csv").read_text().splitlines()[1].endswith(",12,")


class TestMot:
    def tracks(self, *rows: tuple[float, ...]) -> Detections:
        """Rows of x1 y1 x2 y2 id score."""
        table = np.array(rows, np.float64).reshape(-1, 6)
        return Detections(
            table[:, :4],  # type: ignore[arg-type]
            np.zeros(len(table), np.int64),
            table[:, 5],  # type: ignore[arg-type]
            track_ids=table[:, 4],  # type: ignore[arg-type]
            class_names=NAMES,
        )

    def test_rows_are_motchallenge_s(self, tmp_path: Path) -> None:
        path = tmp_path / "out" / "tracks.txt"
        with MotWriter(path) as writer:
            writer.write(frame("a.jpg", 0), self.tracks((0, 0, 10, 20, 4, 0.9), (5.25, 6.5, 9.75, 8, 12, 0.5)))
            writer.write(frame("b.jpg", 1), self.tracks())
            writer.write(frame("c.jpg", 2), self.tracks((-3, -2, 10, 20, 4, 1)))
        # https://motchallenge.net/instructions: frames and pixels from 1; three unused columns for 2D
        assert path.read_text().splitlines() == [
            "1,4,1.00,1.00,10.00,20.00,0.9,-1,-1,-1",
            "1,12,6.25,7.50,4.50,1.50,0.5,-1,-1,-1",
            "3,4,-2.00,-1.00,13.00,22.00,1,-1,-1,-1",
        ]
        assert "3 rows of 3 frames" in writer.summary()

    def test_the_reader_of_detections_gives_the_boxes_back(self, tmp_path: Path) -> None:
        tracks = self.tracks((3, 4, 30, 44, 1, 0.75), (10, 0, 20, 9, 2, 0.25))
        with MotWriter(tmp_path / "tracks.txt") as writer:
            writer.write(frame(), tracks)
        read = read_mot_detections(tmp_path / "tracks.txt")[1]
        np.testing.assert_allclose(read.bboxes, tracks.bboxes)
        np.testing.assert_allclose(read.scores, tracks.scores)

    def test_each_frame_is_on_the_disk_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "tracks.txt"
        with pytest.raises(RuntimeError, match="later"), MotWriter(path) as writer:
            for index in range(3):
                writer.write(frame("a.jpg", index), self.tracks((0, 0, 10, 20, 4, 0.9)))
                assert len(path.read_text().splitlines()) == index + 1
            raise RuntimeError("later")
        assert len(path.read_text().splitlines()) == 3

    def test_detections_without_identities_are_refused(self, tmp_path: Path) -> None:
        with MotWriter(tmp_path / "tracks.txt") as writer, pytest.raises(ValueError, match="track_ids"):
            writer.write(frame("street.jpg"), found((0, 0, 10, 20, 0, 0.9)))


class TestLabelFiles:
    def test_label_files_hold_all_images_each_once(self, tmp_path: Path) -> None:
        names = ["a/x.jpg", "b/x.jpg", "b/x.png", "classes.jpg"]
        for writer in (YoloWriter(tmp_path / "yolo", NAMES), VocWriter(tmp_path / "voc")):
            with writer:
                for index, name in enumerate(names):
                    writer.write(frame(name, index), found((8, 6, 40, 30, 2, 0.9)) if index else found())
        yolo = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "yolo").iterdir()}
        assert yolo.pop("classes.txt").splitlines() == list(NAMES)
        assert sorted(yolo) == ["b_x.txt", "classes_jpg.txt", "x.txt", "x_png.txt"]
        assert yolo["x.txt"] == "", "looked at, and nothing found"
        # https://docs.ultralytics.com/datasets/detect: class, centre x, centre y, width, height in shares
        assert [float(v) for v in yolo["b_x.txt"].split()] == pytest.approx([2, 0.3, 0.3, 0.4, 0.4])
        trees = [ElementTree.parse(path) for path in sorted((tmp_path / "voc").iterdir())]
        assert [tree.findtext("filename") for tree in trees] == ["b/x.jpg", "classes.jpg", "a/x.jpg", "b/x.png"]
        assert [tree.findtext("object/name") for tree in trees] == ["bird, big", "bird, big", None, "bird, big"]
        # VOC counts pixels from 1 and includes the last
        edges = [trees[0].findtext(f"object/bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
        assert edges == ["9", "7", "40", "30"]

    @pytest.mark.parametrize("name", ["a\x01b.jpg", "<&>.jpg", "caf\udce9.jpg"])
    def test_xml_of_any_name_is_read(self, tmp_path: Path, name: str) -> None:
        with VocWriter(tmp_path) as writer:
            writer.write(frame(name), found())
        (path,) = tmp_path.iterdir()
        assert ElementTree.parse(path).findtext("size/width") == "80"

    def test_crops_are_in_folders_by_class(self, tmp_path: Path) -> None:
        names = ("a/b", "..", "CON?")
        image = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
        boxes = [[8, 6, 40, 30], [-5, -5, 0.5, 0.5], [90, 90, 99, 99], [10, 10, 10, 10]]
        objects = Detections(boxes, [0, 1, 2, 2], [0.9] * 4, class_names=names)  # type: ignore[arg-type]
        with CropWriter(tmp_path / "crops") as writer:
            writer.write(Frame(image, "x.jpg", Path("x.jpg"), 0), objects)
        sizes = {p.relative_to(tmp_path / "crops").as_posix(): read_image(p).shape[:2] for p in tmp_path.rglob("*.jpg")}
        assert sizes == {"a_b/x_1.jpg": (24, 32), "_/x_2.jpg": (1, 1), "CON_/x_4.jpg": (1, 1)}
        assert "3 objects" in writer.summary()


def test_keypoints_in_every_file(tmp_path: Path) -> None:
    """By name in CSV, in COCO's JSON with the skeleton, and as regions of Label Studio, which can be read again."""
    from centernet.annotations.label_studio import read_label_studio
    from centernet.annotations.problems import Reports
    from centernet.inference.tool_writers import LabelStudioWriter
    from centernet.skeleton import Skeleton

    skeleton = Skeleton(("head", "tail"), edges=((0, 1),))
    column = Column("keypoints", "points", (2, 3), skeleton=skeleton)
    data = {"keypoints": [[[20, 30, 0.9], [50, 60, 0.05]]]}
    found = Detections([[10, 20, 60, 70]], [0], [0.8], class_names=["cat"], columns=[column], data=data)
    frame = Frame(np.zeros((100, 200, 3), np.uint8), "a b.jpg", None, 0)
    writers = CsvWriter(tmp_path / "d.csv", [column]), CocoWriter(tmp_path / "d.json", ["cat"])
    for writer in (*writers, LabelStudioWriter(tmp_path / "l.json", "mine")):
        with writer:
            writer.write(frame, found)
    with open(tmp_path / "d.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["keypoints_head_x"], row["keypoints_tail_score"]) == ("20.0", "0.05")
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "cat", "keypoints": ["head", "tail"], "skeleton": [[1, 2]]}]
    assert content["annotations"][0]["keypoints"] == [20, 30, 0.9, 50, 60, 0.05]
    (task,) = json.loads((tmp_path / "l.json").read_text())
    box, head = task["predictions"][0]["result"]  # the tail is a guess
    assert head["parentID"] == box["id"] and head["value"] == {
        "x": 10.0, "y": 30.0, "width": 0.5, "keypointlabels": ["head"],
    }  # fmt: skip
    task["annotations"] = task.pop("predictions")
    (tmp_path / "l.json").write_text(json.dumps([task]))
    again = read_label_studio(tmp_path / "l.json", Reports(strict=False))
    assert again.names[0][0] == "/data/local-files/?d=a%20b.jpg"


@pytest.mark.parametrize("place", [".", "kite"])
def test_what_a_killed_process_left_among_crops_goes(place: str, tmp_path: Path) -> None:
    left = tmp_path / "crops" / place / f".centernet-{whole._HOST}-{2**22 + 1}-3.part"  # more than a process's number
    left.parent.mkdir(parents=True)
    left.touch()
    with CropWriter(tmp_path / "crops"):
        assert not left.exists()
