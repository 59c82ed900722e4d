"""Files are judged by their content, whatever they are called."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from centernet.annotations.content import judge
from centernet.annotations.problems import FilesRead, noting_files, opening, read_bytes
from centernet.annotations.text import text_lines

PROSE = "VOC2028 - v2 2024-01-01 1:02pm\n==============================\n\nThe dataset includes 1016 images.\n"
LICENCE = "MIT License\n\nCopyright (c) 2019 Somebody\n\nPermission is hereby granted, free of charge, to any person\n"
VOC = "<annotation><object><name>a</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
CVAT = "<?xml version='1.0' encoding='utf-8'?><annotations><meta/><image id='0'><box label='a'/></image></annotations>"
COCO = {"images": [], "annotations": [{"id": 1, "bbox": [1, 2, 3, 4]}], "categories": []}
LABELME = {"version": "5.0", "shapes": [{"label": "a", "points": [[1, 2], [3, 4]]}], "imagePath": "a.jpg"}
STUDIO = [{"annotations": [{"result": [{"value": {"x": 1, "rectanglelabels": ["a"]}}]}], "data": {"image": "a.jpg"}}]
VIA = {"_via_img_metadata": {"a": {"regions": [{"shape_attributes": {"name": "rect"}}]}}}


@pytest.mark.parametrize(
    ("name", "text", "role", "what"),
    [
        ("a.txt", "0 0.5 0.5 0.2 0.2\n2 0.1 0.2 0.1 0.1\n", "boxes", "YOLO"),
        ("a.txt", "0 0.5 0.5 0.2 0.2 0.91 7\n", "boxes", "YOLO"),
        ("a", "1 0.1 0.1 0.2 0.1 0.2 0.2\r\n", "boxes", "YOLO"),
        ("a.txt.bak", "0 0.5 0.5 0.2 0.2\n", "boxes", "YOLO"),
        ("gt.txt", "1,1,10,20,30,40,1,1,1\n2,1,10,20,30,40,1,1,1\n", "boxes", "numbers"),
        ("000001.txt", "Car 0.00 0 -1.57 1 2 30 40 1.5 1.6 3.9 1.0 2.0 30.0 -1.6\n", "boxes", "KITTI"),
        ("0001.txt", "0 1 Car 0 0 -1.57 1 2 30 40 1.5 1.6 3.9 1.0 2.0 30.0 -1.6\n", "boxes", "KITTI's tracking"),
        ("faces.txt", "0--Parade/a.jpg\n1\n449 330 122 149 0 0 0 0 0 0\n", "boxes", ""),
        ("dota.txt", "imagesource:GoogleEarth\ngsd:0.1\n1 2 3 4 5 6 7 8 plane 0\n", "boxes", ""),
        ("keras.txt", "images/a.jpg 10,20,30,40,0 50,60,70,80,1\n", "boxes", ""),
        ("README.roboflow.txt", PROSE, "other", "text"),
        ("LICENSE", LICENCE, "other", "text"),
        ("classes.txt", "cat\ndog\nperson\n", "other", "list"),
        ("train.txt", "data/obj_train_data/a.jpg\ndata/obj_train_data/b.jpg\n", "other", "list"),
        ("aeroplane_train.txt", "000012 -1\n000017  1\n", "other", "list"),
        ("000000.txt", "P0: 7.2e+02 0 6.1e+02 0 0 7.2e+02 1.7e+02 0 0 0 1 0\n", "other", ""),
        ("empty.txt", "\n", "other", "empty"),
        ("a.xml", VOC, "boxes", "VOC"),
        ("a.xml", CVAT, "boxes", "CVAT"),
        ("a.xml", "<dataset><images><image file='a.jpg'><box top='1'/></image></images></dataset>", "boxes", "dataset"),
        ("a.xml", "<project><module/></project>", "other", "project"),
        ("a.xml", VOC[:40], "broken", "not valid XML"),
        ("a.xml", "", "broken", "empty"),
        ("page", "<html><br></html>", "other", ""),
        ("a.json", json.dumps(COCO), "boxes", "COCO"),
        ("renamed.json_", json.dumps(COCO), "boxes", "COCO"),
        ("a.json", json.dumps(LABELME), "boxes", "LabelMe"),
        ("a.json", json.dumps(STUDIO), "boxes", "Label Studio"),
        ("a.json", json.dumps(VIA), "boxes", "VGG"),
        ("a.json", json.dumps([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]), "results", "detections"),
        ("notes.json", json.dumps({"categories": [{"id": 0, "name": "a"}], "info": {}}), "other", "without boxes"),
        ("a.json", json.dumps(COCO)[:-3], "broken", "not valid JSON"),
        ("a.json", "", "broken", "empty"),
        ("a.odgt", json.dumps({"ID": "a", "gtboxes": [{"fbox": [1, 2, 3, 4]}]}) + "\n", "boxes", "CrowdHuman"),
        ("a.csv", "image,xmin,ymin,xmax,ymax,label\na.jpg,1,2,3,4,cat\n", "boxes", "CSV"),
        ("a.csv", "images/a.jpg,1,2,3,4,cat\nimages/b.jpg,,,,,\n", "boxes", "CSV"),
        ("a.csv", "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\na.ppm;29;30;5;6;24;25;20\n", "boxes", ""),
        ("a.csv", "Datei;Klasse;links;oben;rechts;unten\na.jpg;Katze;1;2;30;40\n", "boxes", "CSV"),
        ("terms.txt", "Permission is granted 1 2 3 4 5 6.\n", "other", "text"),
        ("train", "image,xmin,ymin,xmax,ymax,label\na.jpg,1,2,3,4,cat\n", "boxes", "CSV"),
        ("a.csv.bak", "image,xmin,ymin,xmax,ymax,label\na.jpg,1,2,3,4,cat\n", "boxes", "CSV"),
        ("results.csv", "epoch,train/box_loss,metrics/mAP50\n1,1.5,0.2\n", "other", "table"),
        ("class-descriptions-boxable.csv", "/m/011k07,Tortoise\n/m/011q46kg,Container\n", "other", "table"),
        ("data.yaml", "train: images\nnames: [a, b]\n", "settings", "data.yaml"),
        ("data.yaml", "names:\n  0: cat: small\n", "broken", "mapping values are not allowed"),
        ("other.yaml", "key: 1\n", "other", "YAML"),
        ("seqinfo.ini", "[Sequence]\nname=a\nframeRate=30\n", "other", ""),
        ("weights.bin", "a\0b", "other", "no text"),
        ("train.tfrecord", "a\0b", "boxes", "TensorFlow"),
        ("annotations.zip", "PK\3\4", "other", "an archive, not unpacked"),
    ],
)
def test_content(tmp_path: Path, name: str, text: str, role: str, what: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = judge(path)
    assert found.role == role and what in found.what, found


def test_packed_and_large_json(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.json.gz", "wt") as file:
        json.dump(COCO, file)
    assert judge(tmp_path / "a.json.gz").role == "boxes"
    (tmp_path / "b.json.gz").write_bytes((tmp_path / "a.json.gz").read_bytes()[:-12])
    assert judge(tmp_path / "b.json.gz").role == "broken"
    images = [{"id": number, "file_name": "x" * 40} for number in range(40_000)]
    text = json.dumps({"images": images, **{key: COCO[key] for key in ("annotations", "categories")}})
    (tmp_path / "large.json").write_text(text)
    assert len(text) > 2 << 20 and judge(tmp_path / "large.json") == ("boxes", "COCO's JSON")
    (tmp_path / "large.json").write_text(text[:-1])
    assert judge(tmp_path / "large.json") == ("broken", "JSON that is cut off")


def test_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-16")
    assert judge(tmp_path / "a.txt").role == "boxes"
    (tmp_path / "b.csv").write_bytes("\ufeffimage,xmin,ymin,xmax,ymax\n".encode())
    assert judge(tmp_path / "b.csv").role == "boxes"
    assert judge(tmp_path / "gone.txt").role == "broken"


def test_files_that_were_read_are_known_by_any_path(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).write_text("1\n")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    read = FilesRead()
    assert tmp_path / "a.txt" not in read
    text_lines(tmp_path / "d.txt")  # nobody wants to know
    with noting_files(read):
        text_lines(tmp_path / "a.txt")
        read_bytes(tmp_path / "b.txt")
        with opening(tmp_path / "c.txt"):
            pass
    there = [name for name in ("a.txt", "b.txt", "c.txt", "d.txt", "link.txt", "gone.txt") if tmp_path / name in read]
    assert there == ["a.txt", "b.txt", "c.txt", "link.txt"] and len(read) == 3
