"""Detections in files of every kind against truth of every format, and what is said where they don't fit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.annotations.problems import DataError, DataWarning
from centernet.data import COCO, KITTI, DetectionDataset
from centernet.data.convert import convert
from centernet.data.detect_format import find_format
from centernet.evaluation import evaluate_coco, evaluate_files, evaluate_kitti

NAMES = ("cap", "hard_cap")
SIZES = {"a.png": (100, 120), "b.png": (90, 80), "000003.png": (64, 64)}
Found = list[tuple[str, str, tuple[float, float, float, float], float]]
TRUTH = [
    ("a.png", "cap", (10, 10, 50, 60)),
    ("a.png", "hard_cap", (60, 20, 110, 90)),
    ("b.png", "cap", (5, 5, 45, 85)),
    ("000003.png", "hard_cap", (8, 16, 56, 48)),
]
# One is exact, one is off, one is missed, two are false.
FOUND: Found = [
    ("a.png", "cap", (10, 10, 50, 60), 0.9),
    ("a.png", "hard_cap", (62, 24, 110, 90), 0.8),
    ("b.png", "cap", (50, 5, 75, 85), 0.7),
    ("000003.png", "hard_cap", (8, 16, 56, 48), 0.6),
    ("000003.png", "cap", (0, 0, 20, 20), 0.5),
]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same truth in three formats, by their names."""
    folder = tmp_path_factory.mktemp("truth")
    (folder / "coco/images").mkdir(parents=True)
    images, annotations = [], []
    for i, (name, (height, width)) in enumerate(SIZES.items()):
        Image.new("RGB", (width, height)).save(folder / "coco/images" / name)
        images.append({"id": 70 + i, "file_name": name, "height": height, "width": width})
    for name, kind, (x1, y1, x2, y2) in TRUTH:
        box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        ids = {"image_id": 70 + list(SIZES).index(name), "category_id": 3 + 4 * NAMES.index(kind)}
        annotations.append({"id": len(annotations) + 1, **ids, **box})
    categories = [{"id": 3 + 4 * i, "name": name} for i, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco/val.json").write_text(json.dumps(content))
    for name in ("voc", "yolo"):
        convert({"val": COCO(folder / "coco/val.json")}, to=name, output=folder / name, images="copy")
    return {"coco": folder / "coco/val.json", "voc": folder / "voc", "yolo": folder / "yolo/data.yaml"}


def open_truth(truth: dict[str, Path], name: str) -> DetectionDataset:
    source = find_format(truth[name])
    return source.open(next(iter(source.splits)))


def stem(name: str) -> str:
    return name.partition(".")[0]


def sides(box: tuple[float, ...]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def as_results(found: Found, path: Path) -> Path:
    """COCO's list; images are named, as Ultralytics does where the stem is no number."""
    ids = [int(stem(name)) if stem(name).isdecimal() else stem(name) for name, *_ in found]
    rows = zip(ids, found, strict=True)
    keys = "image_id", "category_id", "bbox", "score"
    entries = [dict(zip(keys, (i, 1 + NAMES.index(k), sides(b), s), strict=True)) for i, (_, k, b, s) in rows]
    (path / "results.json").write_text(json.dumps(entries))
    return path / "results.json"


def as_own(found: Found, path: Path) -> Path:
    """As `centernet detect` writes them, with classes and images in another order, and more of both."""
    names, files = ["dog", *reversed(NAMES)], [*reversed(SIZES), "other.png"]
    rows = [
        {"image_id": 1 + files.index(n), "category_id": 1 + names.index(k), "bbox": sides(b), "score": s}
        for n, k, b, s in found
    ]
    content = {
        "images": [{"id": 1 + i, "file_name": f"some/where/{name}"} for i, name in enumerate(files)],
        "categories": [{"id": 1 + i, "name": name} for i, name in enumerate(names)],
        "annotations": rows,
    }
    (path / "detections.json").write_text(json.dumps(content))
    return path


def as_csv(found: Found, path: Path) -> Path:
    rows = ["image,frame,label,class,score,x1,y1,x2,y2,track_id"]
    rows += [f"{n},0,0,{k},{s},{','.join(map(str, b))}," for n, k, b, s in found]
    (path / "detections.csv").write_text("\n".join(rows) + "\n")
    return path / "detections.csv"


def yolo_rows(found: Found, row: Callable[[int, str, float], str]) -> dict[str, str]:
    texts = dict.fromkeys(map(stem, SIZES), "")
    for name, kind, (x1, y1, x2, y2), score in found:
        height, width = SIZES[name]
        shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        texts[stem(name)] += row(NAMES.index(kind), " ".join(f"{v:.9f}" for v in shares), score) + "\n"
    return texts


def write_all(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def as_yolo(found: Found, path: Path) -> Path:
    return write_all(path / "yolo/labels", yolo_rows(found, lambda kind, box, score: f"{kind} {box} {score}")).parent


def as_yolo_with_ids(found: Found, path: Path) -> Path:
    """And with the list of classes, in another order, beside the folder."""
    (path / "classes.txt").write_text("\n".join(reversed(NAMES)))
    return write_all(path / "ids", yolo_rows(found, lambda kind, box, score: f"{1 - kind} {box} {score} 7"))


def as_voc(found: Found, path: Path) -> Path:
    texts = {f"comp4_det_my_val_{name}": "" for name in NAMES}
    for name, kind, (x1, y1, x2, y2), score in found:
        texts[f"comp4_det_my_val_{kind}"] += f"{stem(name)} {score} {x1 + 1} {y1 + 1} {x2} {y2}\n"
    return write_all(path / "Main", texts)


def as_kitti(found: Found, path: Path) -> Path:
    texts = dict.fromkeys(map(stem, SIZES), "")
    for name, kind, box, score in found:
        texts[stem(name)] += f"{kind} -1 -1 -10 {' '.join(map(str, box))} -1 -1 -1 -1000 -1000 -1000 -10 {score}\n"
    return write_all(path / "kitti/data", texts).parent


WRITERS = [as_results, as_own, as_csv, as_yolo, as_yolo_with_ids, as_voc, as_kitti]


@pytest.fixture(scope="module")
def expected(truth: dict[str, Path]) -> dict[str, float]:
    """The figures of COCO's own rows, which another test holds to pycocotools."""
    ids = {name: 70 + i for i, name in enumerate(SIZES)}
    rows = [
        {"image_id": ids[n], "category_id": 3 + 4 * NAMES.index(k), "bbox": sides(b), "score": s}
        for n, k, b, s in FOUND
    ]
    stats = dict(evaluate_coco(truth["coco"], rows).stats)
    assert 0.3 < stats["AP"] < 0.8
    return stats


# COCO's list has the ids of COCO's annotations: another test.
FORMATS = ("coco", "voc", "yolo")
CASES = [(name, write) for name in FORMATS for write in WRITERS if (name, write) != ("coco", as_results)]


@pytest.mark.parametrize(("format", "write"), CASES)
def test_every_kind_gives_the_figures_of_cocos_rows(
    truth: dict[str, Path], expected: dict[str, float], tmp_path: Path, format: str, write: Callable[..., Path]
) -> None:
    annotations = truth["coco"] if format == "coco" else None
    result = evaluate_files(open_truth(truth, format), write(FOUND, tmp_path), annotations=annotations)
    assert dict(result.figures.coco.stats) == pytest.approx(expected, abs=1e-6)
    assert result.figures.voc.stats["mAP_allpoint"] == pytest.approx((0.5 + 1) / 2)
    assert result.counts == {
        "detections": 5, "unknown_images": 0, "unknown_classes": 0, "images_without_detections": 0,
    }  # fmt: skip


@pytest.mark.parametrize("case", ["noisy", "many", "empty"])
def test_cocos_files_give_the_figures_of_pycocotools(shared: Path, case: str) -> None:
    folder = shared / "data" / "oracles" / "detection"
    expected = json.loads((folder / "expected_pycocotools.json").read_text())[case]["stats"]
    dataset = COCO(folder / "gt.json", require_images=False)
    result = evaluate_files(dataset, folder / f"dets_{case}.json", annotations=folder / "gt.json")
    assert list(result.figures.coco.stats.values()) == pytest.approx(expected, abs=1e-9)


def test_annotations_that_say_ignore_count_as_in_pycocotools_which_is_said(
    truth: dict[str, Path], expected: dict[str, float], tmp_path: Path
) -> None:
    content = json.loads(truth["coco"].read_text())
    content["annotations"][2]["ignore"] = 1  # the missed one
    (tmp_path / "val.json").write_text(json.dumps(content))
    dataset = COCO(tmp_path / "val.json", truth["coco"].parent / "images")
    result = evaluate_files(dataset, as_own(FOUND, tmp_path), annotations=tmp_path / "val.json")
    assert dict(result.figures.coco.stats) == pytest.approx(expected)
    assert any("1 annotations say `ignore`" in note for note in result.notes)
    assert evaluate_files(dataset, tmp_path / "detections.json").figures.coco.objects == 3  # as validation has it


def test_a_file_under_two_ids_counts_once(truth: dict[str, Path], expected: dict[str, float], tmp_path: Path) -> None:
    content = json.loads(truth["coco"].read_text())
    content["images"].append({**content["images"][0], "id": 99})
    content["annotations"][1]["image_id"] = 99
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.warns(DataWarning, match="id"):
        dataset = COCO(tmp_path / "val.json", truth["coco"].parent / "images")
    rows = [
        {"image_id": 99 if i == 1 else 70 + list(SIZES).index(name), "category_id": 3 + 4 * NAMES.index(kind)}
        | {"bbox": sides(box), "score": score}
        for i, (name, kind, box, score) in enumerate(FOUND)
    ]
    (tmp_path / "found.json").write_text(json.dumps(rows))
    result = evaluate_files(dataset, tmp_path / "found.json", annotations=tmp_path / "val.json")
    assert dict(result.figures.coco.stats) == pytest.approx(expected, abs=1e-6)
    assert any("1 files are there under two ids" in note for note in result.notes)


def test_boxes_that_are_those_of_masks(truth: dict[str, Path], expected: dict[str, float], tmp_path: Path) -> None:
    content = json.loads(truth["coco"].read_text())
    for entry in content["annotations"]:
        x, y, width, height = entry.pop("bbox")
        entry["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.warns(DataWarning, match="have no bbox"):
        dataset = COCO(tmp_path / "val.json", truth["coco"].parent / "images")
    result = evaluate_files(dataset, as_own(FOUND, tmp_path), annotations=tmp_path / "val.json")
    assert dict(result.figures.coco.stats) == pytest.approx(expected, abs=1e-6)
    assert any("those of validation, as pycocotools cannot read" in note for note in result.notes)


def test_detections_that_are_cocos_own_form_are_matched_by_name(
    truth: dict[str, Path], expected: dict[str, float], tmp_path: Path
) -> None:
    path = as_own(FOUND, tmp_path) / "detections.json"
    content = json.loads(truth["coco"].read_text())
    assert dict(evaluate_coco(content, path).stats) == pytest.approx(expected)
    assert dict(evaluate_coco(str(truth["coco"]), str(path)).stats) == pytest.approx(expected)
    assert dict(evaluate_coco(truth["coco"], json.loads(path.read_text())).stats) == pytest.approx(expected)


def test_packed_files(truth: dict[str, Path], expected: dict[str, float], tmp_path: Path) -> None:
    path = as_own(FOUND, tmp_path) / "detections.json"
    for file, name in ((path, "found"), (truth["coco"], "truth")):
        (tmp_path / f"{name}.json.gz").write_bytes(gzip.compress(file.read_bytes()))
    found = tmp_path / "found.json.gz"
    assert dict(evaluate_coco(tmp_path / "truth.json.gz", found).stats) == pytest.approx(expected)
    assert evaluate_files(open_truth(truth, "voc"), found).counts["detections"] == 5
    found.write_bytes(found.read_bytes()[:60])
    with pytest.raises(DataError, match=r"found\.json\.gz: not valid JSON"):
        evaluate_files(open_truth(truth, "voc"), found)


def test_ids_that_are_text_on_one_side(truth: dict[str, Path], expected: dict[str, float], tmp_path: Path) -> None:
    numbers = [(str(70 + list(SIZES).index(name)), str(3 + 4 * NAMES.index(kind))) for name, kind, *_ in FOUND]
    rows = [
        {"image_id": image, "category_id": kind, "bbox": sides(found[2]), "score": found[3]}
        for (image, kind), found in zip(numbers, FOUND, strict=True)
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    assert dict(evaluate_coco(truth["coco"], path).stats) == pytest.approx(expected)
    result = evaluate_files(open_truth(truth, "coco"), path, annotations=truth["coco"])
    assert dict(result.figures.coco.stats) == pytest.approx(expected)


def test_the_score_may_stand_second_if_that_is_said(
    truth: dict[str, Path], expected: dict[str, float], tmp_path: Path
) -> None:
    folder = write_all(tmp_path / "darknet", yolo_rows(FOUND, lambda kind, box, score: f"{kind} {score} {box}"))
    dataset = open_truth(truth, "voc")
    with pytest.raises(DataError, match="--score-column second"):
        evaluate_files(dataset, folder)
    result = evaluate_files(dataset, folder, score_column="second")
    assert dict(result.figures.coco.stats) == pytest.approx(expected, abs=1e-6)


def test_what_the_truth_does_not_have_is_counted_and_named(truth: dict[str, Path], tmp_path: Path) -> None:
    small = (0, 0, 9, 9)
    more: Found = [("c.png", "cap", small, 0.5), ("a.png", "hat", small, 0.5), ("a.png", "hat", small, 0.4)]
    result = evaluate_files(open_truth(truth, "voc"), as_csv([*FOUND[:2], *more], tmp_path))
    assert result.counts == {
        "detections": 2, "unknown_images": 1, "unknown_classes": 2, "images_without_detections": 2,
    }  # fmt: skip
    text = "\n".join(result.notes)
    assert "1 detections in 1 images that the truth does not have: c.png" in text and "'hat'" in text
    assert "2 of 3 images have no detections" in text
    with pytest.raises(DataError, match="none of its 3 detections can be evaluated"):
        evaluate_files(open_truth(truth, "voc"), as_csv(more, tmp_path))


def test_numbers_of_classes_are_said_and_not_guessed(truth: dict[str, Path], tmp_path: Path) -> None:
    result = evaluate_files(open_truth(truth, "voc"), as_yolo(FOUND, tmp_path))
    assert any("0 hard_cap, 1 cap" in note or "0 cap, 1 hard_cap" in note for note in result.notes)
    rows = json.loads(as_results(FOUND, tmp_path).read_text())
    for row, kind in zip(rows, (0, 1, 2, 0, 0), strict=True):
        row["category_id"] = kind
    (tmp_path / "results.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="the classes 0 and 2"):
        evaluate_files(open_truth(truth, "voc"), tmp_path / "results.json")
    with pytest.raises(DataError, match="count classes from 0"):
        evaluate_files(open_truth(truth, "coco"), tmp_path / "results.json", annotations=truth["coco"])


def test_images_of_one_stem_are_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "images" / name)
    images = [
        {"id": i, "file_name": n, "height": 20, "width": 20} for i, n in enumerate(("a.png", "a.jpg", "b.jpg"), 1)
    ]
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81}
    content = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "cap"}]}
    (tmp_path / "val.json").write_text(json.dumps(content))
    dataset, folder = COCO(tmp_path / "val.json"), write_all(tmp_path / "found", {"a": "0 .5 .5 .2 .2 .9\n"})
    with pytest.raises(DataError, match=r"'a' may be .*a\.png or .*a\.jpg"):
        evaluate_files(dataset, folder)
    assert evaluate_files(dataset, as_csv([("a.jpg", "cap", (1, 1, 9, 9), 0.5)], tmp_path)).counts["detections"] == 1


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "0 .5 .5 .2 .2\n", "there is no score; Ultralytics writes it with save_conf=True"),
        ("a.txt", "0 .5 .5 .2 .2 7\n", "7 in the place of the score"),
        ("a.txt", "0 .5 .5 .2 .2 .9\n0 .1 .1 .2 .1 .2 .2 .1 .2 .9\n", "line 2: "),
        ("a.txt", "cap -1 -1 -10 1 1 5 5 1 1 1 1 1 1 1\n", "15 columns, expected KITTI's 16: the score is missing"),
        ("comp4_det_val_cap.txt", "a .9 1 1 5\n", "expected image, score, xmin ymin xmax ymax"),
        ("comp4_det_val_cap.txt", "a .9 5 1 1 5\n", "negative width or height"),
        ("x.json", '[{"image_id": 70, "category_id": 3, "bbox": [1, 1, 5, 5]}]', "no score.*are these annotations"),
        ("x.json", '[{"image_id": 70, "category_id": 3, "bbox": [1, 1, 5], "score": 0.5}]', "entry 0"),
        ("x.json", '[{"image_id": 70, "category_id": 3, "bbox": [1, 1, 5, NaN], "score": 0.5}]', "four numbers"),
        ("x.json", '{"images": []}', "got an object with images"),
        ("x.json", "[", "not valid JSON"),
        ("x.csv", "image,class,x1,y1,x2,y2\n", "no column score"),
        ("x.odgt", '{"ID": "a", "gtboxes": []}', "are these annotations"),
        ("notes.md", "", "expected COCO's list of results"),
    ],
)
def test_what_is_no_detection_is_refused_by_file_and_line(
    truth: dict[str, Path], tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says) as error:
        evaluate_files(open_truth(truth, "voc"), tmp_path if name.endswith("txt") else tmp_path / name)
    assert str(tmp_path) in str(error.value)


def test_an_empty_folder_and_no_folder_are_errors(truth: dict[str, Path], tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="expected COCO's list of results"):
            evaluate_files(open_truth(truth, "voc"), path)


def test_figures_of_nothing_found(truth: dict[str, Path], tmp_path: Path) -> None:
    result = evaluate_files(open_truth(truth, "voc"), write_all(tmp_path / "labels", {"a": "", "b": ""}))
    assert result.figures.coco.stats["AP"] == 0 and result.counts["images_without_detections"] == 3
    assert json.loads(json.dumps(result.to_dict()))["figures"]["AP"] == 0


def test_crowdhumans_results_against_its_figures(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "oracles" / "detection"
    expected: Any = json.loads((folder / "expected_crowdhuman.json").read_text())
    from centernet.data import CrowdHuman
    from centernet.evaluation import evaluate_crowdhuman

    lines = [json.loads(line) for line in (folder / "crowdhuman_gt.odgt").read_text().splitlines()]
    sizes = {e["ID"]: e for e in map(json.loads, (folder / "crowdhuman_dets.odgt").read_text().splitlines())}
    (tmp_path / "images").mkdir()
    for entry in lines:
        size = sizes.get(entry["ID"], {"width": 640, "height": 480})
        Image.fromarray(np.zeros((size["height"], size["width"]), np.uint8)).save(
            tmp_path / "images" / f"{entry['ID']}.jpg"
        )
    (tmp_path / "val.odgt").write_text((folder / "crowdhuman_gt.odgt").read_text())
    dataset = CrowdHuman(tmp_path / "val.odgt", amodal=True)
    result = evaluate_files(dataset, folder / "crowdhuman_dets.odgt")
    own = evaluate_crowdhuman(folder / "crowdhuman_gt.odgt", folder / "crowdhuman_dets.odgt")
    assert expected and result.figures.own is not None
    assert dict(result.figures.own.stats) == pytest.approx(dict(own.stats), abs=1e-4)


def test_kittis_results_against_its_figures(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "oracles" / "detection"
    truth, found = (json.loads((folder / f"kitti_{name}.json").read_text()) for name in ("gt", "dets"))
    for name, frames in (("label_2", truth), ("found", found)):
        write_all(tmp_path / name, {frame: "".join(f"{row}\n" for row in rows) for frame, rows in frames.items()})
    (tmp_path / "image_2").mkdir()
    for frame in truth:
        Image.new("L", (1242, 375)).save(tmp_path / "image_2" / f"{frame}.png")
    expected = evaluate_kitti(truth, found).stats
    with pytest.warns(DataWarning, match="'Truck' 47"):
        dataset = KITTI(tmp_path)
    result = evaluate_files(dataset, tmp_path / "found")
    assert result.figures.own is not None and dict(result.figures.own.stats) == pytest.approx(dict(expected), abs=1e-6)
