"""Each defect is named, and nothing that is in order; figures agree with what training computes."""

from __future__ import annotations

import gc
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.column import Column
from centernet.data import COCO, VOC, Annotation, Columns, DetectionDataset, ImageFolder, Synthetic
from centernet.data.audit import audit
from centernet.data.findings import KINDS, DatasetReport
from centernet.data.report_html import report_as_html
from centernet.data.report_text import report_as_text
from centernet.images import Preprocessing
from centernet.skeleton import Skeleton

pytestmark = pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")

SOURCES = Path(__file__).resolve().parents[2] / "src"


def found(report: DatasetReport) -> set[tuple[str, str, str]]:
    """(severity, kind, stem of the file) of the errors and warnings."""
    return {(f.severity, f.kind, Path(f.path).stem) for f in report.findings if f.severity != "note"}


def kinds(report: DatasetReport) -> set[str]:
    return {kind for _, kind, _ in found(report)}


MESSY = {  # what the README of the folder lists
    ("error", "unreadable-image", "truncated_jpeg"),
    ("warning", "size", "size_zero"),
    ("error", "inverted-box", "inverted_box"),
    ("error", "outside-box", "box_outside"),
    ("error", "empty-box", "zero_area_box"),
    ("error", "missing-annotation", "no_xml"),
    ("error", "missing-image", "no_image"),
}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_messy_folder(shared: Path, workers: int) -> None:
    root = shared / "data/fixtures/messy_voc"
    report = audit({name: VOC(root, name) for name in ("train", "val")}, num_workers=workers)
    assert found(report) == MESSY | {("warning", "rare-class", "unknown_class")}
    rare = next(finding for finding in report.findings if finding.kind == "rare-class")
    assert "'dog'" in rare.message
    names = ["hat", "person"]
    report = audit({name: VOC(root, name, class_names=names) for name in ("train", "val")}, num_workers=workers)
    assert found(report) == MESSY  # a class that was not asked for is a note
    assert report.skipped("train") == (3, 3) and report.skipped("val") == (0, 0)


@pytest.mark.parametrize("name", ["voc2007", "bccd"])
def test_real_data_are_in_order(shared: Path, name: str) -> None:
    report = audit({"val": VOC(shared / "data" / name, "val")})
    assert found(report) == ({("error", "empty-box", "BloodImage_00338")} if name == "bccd" else set())


def test_clean_data_have_no_finding(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val")):
        Synthetic(40, size=(96, 128), seed=seed).write(tmp_path, split=split)
    report = audit({split: VOC(tmp_path, split) for split in ("train", "val")})
    assert found(report) == set()
    assert report_as_text(report).endswith("nothing wrong was found")


def write_coco(folder: Path, boxes: list[list[float]], categories: list[int] | None = None, **image: Any) -> COCO:
    """One image of 120×160 with these boxes x y w h."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(boxes)).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 120)).save(folder / "a.jpg")
    numbers = categories or [1] * len(boxes)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 120, "width": 160, **image}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": number, "bbox": box, "iscrowd": 0}
            for n, (box, number) in enumerate(zip(boxes, numbers, strict=True))
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (folder / "all.json").write_text(json.dumps(content))
    return COCO(folder / "all.json")


SPREAD = [[10.0 + 30 * n, 20, 20, 30] for n in range(5)]


def check_boxes(tmp_path: Path, boxes: list[list[float]], categories: list[int] | None = None) -> set[str]:
    dataset = write_coco(tmp_path, boxes, categories)
    return kinds(audit({"train": dataset})) - {"rare-class", "absent-class"}


def test_repeated_boxes(tmp_path: Path) -> None:
    assert check_boxes(tmp_path, SPREAD) == set()
    assert check_boxes(tmp_path, [*SPREAD, SPREAD[1]]) == {"duplicate-box", "shared-cell"}
    other = [20 * x for x in (1, 2, 1, 2)]
    assert check_boxes(tmp_path, [*SPREAD, SPREAD[0]], [1, 1, 1, 1, 1, 2]) == {"ambiguous-box"}
    assert check_boxes(tmp_path, [*SPREAD, [x + 0.2 for x in SPREAD[2]]]) == {"duplicate-box", "shared-cell"}
    assert check_boxes(tmp_path, [*SPREAD, [float(x) for x in other]]) == set()


def test_boxes_of_another_convention(tmp_path: Path) -> None:
    assert check_boxes(tmp_path, [[x / 160 for x in box] for box in SPREAD]) == {
        "normalised-boxes",
        "small-objects",
        "shared-cell",
    }
    corners = [[x, y, x + w, y + h] for x, y, w, h in SPREAD]
    assert "box-convention" in check_boxes(tmp_path, corners)


def test_classes_that_do_not_fit(tmp_path: Path) -> None:
    Synthetic(20, size=(64, 64), class_names=["disc", "star"], seed=1).write(tmp_path, split="train")
    Synthetic(20, size=(64, 64), class_names=["disc", "ring"], seed=2).write(tmp_path, split="val")
    splits: dict[str, DetectionDataset] = {name: VOC(tmp_path, name) for name in ("train", "val")}
    report = audit(splits, num_classes=3)
    assert kinds(report) == {"class-list", "class-count"}
    assert "'ring'" in next(f.message for f in report.findings if f.kind == "class-list")
    report = audit(splits, class_names=["disc", "star", "ring"], num_classes=3)
    assert kinds(report) == {"absent-class"}  # train has no ring
    splits["val"] = VOC(tmp_path, "val", class_names=["disc"])
    assert "class-count" not in kinds(audit(splits, num_classes=2))


def test_a_split_without_objects(tmp_path: Path) -> None:
    assert "no-objects" in kinds(audit({"train": write_coco(tmp_path, [])}))


def test_images_without_any_class(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    report = audit({"train": ImageFolder(tmp_path)})
    assert report.splits[0].tally.images == 1 and report_as_text(report).endswith("nothing wrong was found")


def test_images_in_both_splits(tmp_path: Path) -> None:
    Synthetic(6, size=(96, 128), seed=0).write(tmp_path, split="train")
    Synthetic(6, size=(96, 128), seed=1).write(tmp_path, split="val")
    images, lists = tmp_path / "JPEGImages", tmp_path / "ImageSets/Main"
    with Image.open(images / "train_000002.jpg") as image:
        image.resize((100, 75)).save(images / "val_000004.jpg", quality=40)
    with (lists / "val.txt").open("a") as file:
        file.write("train_000005\n")
    report = audit({name: VOC(tmp_path, name) for name in ("train", "val")})
    assert {("error", "same-image", "train_000005"), ("warning", "near-duplicate", "val_000004")} <= found(report)
    assert [(first, second) for first, second, _ in report.pairs] == [(("train", 2), ("val", 4))]
    assert kinds(report) == {"same-image", "near-duplicate", "wrong-size"}  # the XML says 96×128


def test_files_that_are_not_what_they_say(shared: Path, tmp_path: Path) -> None:
    Synthetic(12, size=(64, 64)).write(tmp_path)
    images = tmp_path / "JPEGImages"
    shutil.copy(shared / "data/fixtures/png_inside.jpg", images / "train_000003.jpg")
    shutil.copy(shared / "data/fixtures/text_inside.jpg", images / "train_000005.jpg")
    shutil.copy(shared / "data/fixtures/empty.jpg", images / "train_000006.jpg")
    with Image.open(images / "train_000007.jpg") as image:
        image.save(images / "train_000007.jpg", "GIF", save_all=True, append_images=[image.rotate(90)])
    report = audit({"train": VOC(tmp_path)})
    assert found(report) >= {
        ("warning", "mislabelled-file", "train_000003"),
        ("error", "wrong-size", "train_000003"),
        ("error", "unreadable-image", "train_000005"),
        ("error", "unreadable-image", "train_000006"),
        ("warning", "left-unread", "train_000007"),
    }
    annotations_alone = audit({"train": VOC(tmp_path)}, read_images=False)
    assert annotations_alone.count("error") == 0


def test_sharing_is_what_the_targets_say(shared: Path) -> None:
    """Centre cells as training computes them, on real crowds."""
    torch = pytest.importorskip("torch")
    from centernet.ops import Targets

    dataset = COCO(shared / "data/coco/annotations.json")
    preprocessing = Preprocessing(size=(96, 160))
    report = audit({"train": dataset}, preprocessing=preprocessing, stride=8, read_images=False)
    sharing = hidden = below = objects = 0
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        boxes = torch.from_numpy(preprocessing.to_input(truth.boxes, (truth.height, truth.width)))[None]
        targets = Targets(
            boxes,
            torch.from_numpy(truth.labels.copy())[None],
            torch.from_numpy(truth.ignore.copy())[None],
            torch.tensor([len(truth)]),
            grid=(12, 20),
            stride=8,
            num_classes=80,
        )
        cells = list(zip(targets.center_index.tolist(), targets.object_labels.tolist(), strict=True))
        places = [cell for cell, _ in cells]
        sharing += sum(places.count(cell) > 1 for cell in places)
        hidden += len(cells) - len(set(cells))
        below += int((targets.sizes.amin(1) < 1).sum())
        objects += targets.num_objects
    tally = report.splits[0].tally
    assert (tally.sharing, tally.hidden) == (sharing, hidden) and hidden > 0
    assert int(tally.cells[:, 0].sum()) == below > 0
    assert int(tally.objects.sum()) == int(tally.cells.sum()) == objects
    assert {"small-objects", "shared-cell"} <= kinds(report)


def test_counts_are_those_of_the_data_set(shared: Path) -> None:
    dataset = VOC(shared / "data/voc2007", "val")
    tally = audit({"val": dataset}, read_images=False).splits[0].tally
    objects, ignored, _ = dataset.label_arrays()
    assert np.array_equal(tally.objects, objects) and np.array_equal(tally.ignored[:-1], ignored)
    assert tally.images == len(dataset) == sum(tally.sizes.values())
    with_objects = {name: 0 for name in dataset.class_names}
    for index in range(len(dataset)):
        truth = dataset.annotation(index)
        for label in set(truth.labels[~truth.ignore].tolist()):
            with_objects[dataset.class_names[label]] += 1
    assert tally.images_with.tolist() == list(with_objects.values())


def test_processes_find_what_one_does(tmp_path: Path) -> None:
    Synthetic(150, size=(48, 64), objects=(2, 8)).write(tmp_path)
    (tmp_path / "JPEGImages/train_000100.jpg").write_bytes(b"no image")
    seen: list[int] = []
    reports = [audit({"train": VOC(tmp_path)}, num_workers=workers, progress=seen.append) for workers in (0, 2)]
    assert reports[0].to_dict() == reports[1].to_dict()
    one, other = (vars(report.splits[0].tally) for report in reports)
    assert str(one) == str(other)
    assert sum(seen) == 300


def test_a_strict_data_set_is_read_to_its_end(tmp_path: Path) -> None:
    Synthetic(5, size=(48, 64)).write(tmp_path)
    for number in (1, 3):
        Image.new("RGB", (20, 20)).save(tmp_path / f"JPEGImages/train_00000{number}.jpg")
    report = audit({"train": VOC(tmp_path, strict=True)})
    assert {stem for _, kind, stem in found(report) if kind == "wrong-size"} == {"train_000001", "train_000003"}


def test_the_report_as_values_is_json(shared: Path) -> None:
    report = audit({"train": VOC(shared / "data/fixtures/messy_voc")})
    values = json.loads(json.dumps(report.to_dict()))
    assert values["errors"] == 6 and len(values["findings"]) == values["errors"] + values["warnings"]
    assert {"severity", "kind", "split", "path", "message", "sample"} == set(values["findings"][0])


def test_each_kind_of_problem_is_known() -> None:
    """What the documentation of Problem lists has a severity and a meaning here."""
    from centernet.data import Problem

    text = str(Problem.__doc__).partition("kind:")[2].partition("message:")[0]
    listed = {word.strip("`., ") for word in text.split() if word.startswith("``")}
    assert len(listed) > 10 and listed <= set(KINDS)


@pytest.mark.slow
def test_voc_takes_less_than_a_minute_on_two_processors(shared: Path) -> None:
    start = time.perf_counter()
    report = audit({"train": VOC(shared / "data/voc2007", "train")}, num_workers=2)
    assert time.perf_counter() - start < 60
    assert report.splits[0].tally.images == 3962


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of processes from /proc")
def test_a_hundred_thousand_images_stay_below_one_and_a_half_gigabytes(tmp_path: Path) -> None:
    """Annotations as dense as COCO's, with outlines."""
    rng = np.random.default_rng(0)
    path = tmp_path / "all.json"
    count = 0
    with path.open("w") as file:
        file.write('{"categories": ' + json.dumps([{"id": n + 1, "name": f"class {n}"} for n in range(80)]))
        file.write(', "annotations": [')
        for image in range(100_000):
            for x, y, w, h in rng.uniform([0, 0, 4, 4], [500, 380, 130, 100], (int(rng.integers(0, 15)), 4)).tolist():
                outline = [[round(x + w * t, 2) for t in (0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.9, 1)] * 3]
                box = [round(v, 2) for v in (x, y, w, h)]
                entry = {"id": count, "image_id": image, "category_id": count % 80 + 1, "bbox": box, "iscrowd": 0}
                file.write(", " * (count > 0) + json.dumps(entry | {"area": w * h, "segmentation": outline}))
                count += 1
        file.write('], "images": [')
        for image in range(100_000):
            entry = {"id": image, "file_name": f"{image:012d}.jpg", "height": 480, "width": 640}
            file.write(", " * (image > 0) + json.dumps(entry))
        file.write("]}")
    command = [sys.executable, "-m", "centernet", "check", str(path), "--images", "none", "--workers", "2"]
    process = subprocess.Popen(command, env={"PYTHONPATH": str(SOURCES)}, stdout=subprocess.PIPE, text=True)
    most = 0
    while process.poll() is None:
        most = max(most, memory_of(process.pid))
        time.sleep(0.1)
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    assert process.returncode == 0 and f"{count:,}" in output and "100,000" in output
    assert 1e8 < most < 1.5e9  # the lower bound: it was measured at all


def memory_of(pid: int) -> int:
    """Resident bytes of a process and its children."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    return own + sum(memory_of(int(child)) for child in children)


def test_ctrl_c_ends_the_processes(tmp_path: Path) -> None:
    Synthetic(200, size=(32, 32)).write(tmp_path)

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        audit({"train": VOC(tmp_path)}, num_workers=2, progress=interrupt)
    gc.collect()  # what the traceback held
    for child in set(multiprocessing.active_children()) - before:
        child.join(20)
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_the_processes_end_with_one_that_is_killed(tmp_path: Path) -> None:
    Synthetic(2000, size=(32, 32)).write(tmp_path)
    code = f"""
if __name__ == "__main__":
    import os, multiprocessing
    from centernet.data import VOC
    from centernet.data.scan import scan
    def say(count):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), 9)
    scan(VOC({str(tmp_path)!r}), num_workers=2, progress=say)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=False)
    children = list(map(int, done.stdout.split()))
    assert done.returncode == -9 and children
    end = time.monotonic() + 60
    while any(map(runs, children)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(runs, children))


def runs(pid: int) -> bool:
    """Return True for a process that is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def posed(folder: Path, poses: Any, flip_pairs: tuple[tuple[int, int], ...] = ((1, 2), (3, 4))) -> DetectionDataset:
    """An image of 100×200 for each pose, of five keypoints (a nose, two ears, two paws) of an object in its middle."""
    annotations = []
    for place, pose in enumerate(poses):
        path = folder / f"{place}.png"
        noise = np.random.default_rng(place).integers(0, 255, (10, 20, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((200, 100)).save(path)
        box = np.array([[50, 25, 150, 75]], np.float32)
        none, data = np.array([-1]), {"keypoints": np.array([pose], np.float32)}
        flags, areas = np.array([False]), np.array([5000], np.float32)
        annotations.append(Annotation(path, place, 100, 200, box, np.array([0]), none, flags, areas, data=data))
    fields = [Column("keypoints", "points", (5, 3), skeleton=Skeleton(tuple("nabcd"), flip_pairs))]
    return DetectionDataset(["cat"], Columns.of(annotations, fields), fields=fields)


FACING = [[100, 40, 2], [120, 40, 2], [80, 40, 2], [130, 60, 2], [70, 60, 1]]


def test_keypoints(tmp_path: Path) -> None:
    """Each thing that looks wrong is named; dots and limbs are in the page."""
    turned = [[200 - x, y, v] for x, y, v in FACING]
    right = [*[FACING] * 8, *[turned] * 8]
    assert "keypoint" not in " ".join(kinds(audit({"train": posed(tmp_path, right)})))
    swapped = [[*pose[:3], pose[4], pose[3]] for pose in right]
    report = audit({"train": posed(tmp_path, swapped)})
    [finding, _] = report.by_kind("warning")["swapped-keypoints"]  # of two pairs, either may be the one
    assert "lie the other way round than the other pairs in 16 of 16 objects" in finding.message
    outside, far, none = ([row.copy() for row in FACING] for _ in range(3))
    outside[1], far[0], none = [205, 40, 2], [190, 95, 1], [[0, 0, 0]] * 5
    report = audit({"train": posed(tmp_path, [outside, far, none])})
    texts = {f.kind: f.message for f in report.findings}
    assert texts["keypoint-outside-image"].startswith("a of the object [50, 25, 150, 75]: outside of the image")
    assert texts["keypoint-outside-box"].startswith("n of the object [50, 25, 150, 75]: far outside of its box")
    assert texts["no-keypoints"].startswith("1 of 3 objects have no labelled keypoint")
    assert "no-pairs" in kinds(audit({"train": posed(tmp_path, right, ())}))
    page = report_as_html(report, title="cats")
    assert page.count('<line class="joint') >= 10 and "(hidden)" in page
