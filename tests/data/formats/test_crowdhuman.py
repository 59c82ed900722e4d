"""CrowdHuman's lines: counts of the raw file, which boxes are ignored, and every defect named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from centernet.data import CrowdHuman, DataError, DataWarning
from centernet.testing import check_dataset

Write = Callable[..., Path]


def raw_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def picture(path: Path, persons: list[dict[str, Any]]) -> None:
    """A picture that just holds the visible boxes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = (max(p["vbox"][i] + p["vbox"][i + 2] for p in persons) for i in (0, 1))
    Image.new("RGB", (width, height), "gray").save(path, quality=30)


@pytest.fixture
def genuine(shared: Path, tmp_path: Path) -> Path:
    """The whole layout around the genuine lines."""
    source = shared / "data/crowdhuman/annotation_sample.odgt"
    for entry in raw_lines(source):
        picture(tmp_path / "Images" / f"{entry['ID']}.jpg", entry["gtboxes"])
    (tmp_path / "annotation_train.odgt").write_bytes(source.read_bytes())
    return tmp_path / "annotation_train.odgt"


@pytest.mark.parametrize(("box", "key"), [("full", "fbox"), ("visible", "vbox"), ("head", "hbox")])
def test_counts_are_those_of_the_raw_lines(genuine: Path, box: Any, key: str) -> None:
    persons = ignored = 0
    for entry in raw_lines(genuine):
        for p in entry["gtboxes"]:
            flags = [p["extra"].get("ignore", 0), p["head_attr"].get("ignore", 0) if key == "hbox" else 0]
            if p["tag"] == "mask" or any(flags):
                ignored += 1
            else:
                persons += 1
    dataset = CrowdHuman(genuine, box=box, amodal=True)
    objects, ignores, _ = dataset.label_arrays()
    assert (objects.tolist(), ignores.tolist()) == ([persons], [ignored])
    assert persons and ignored
    assert len(dataset) == 5 and dataset.problems == []
    assert dataset.class_names == ("head" if box == "head" else "person",)
    for index, entry in enumerate(raw_lines(genuine)):
        annotation = dataset.annotation(index)
        assert annotation.path.stem == entry["ID"]
        expected = [[x, y, x + w, y + h] for x, y, w, h in (p[key] for p in entry["gtboxes"])]
        assert annotation.boxes.tolist() == expected
    check_dataset(dataset, samples=2)


def test_full_bodies_are_cut_at_the_picture_by_default(genuine: Path) -> None:
    dataset = CrowdHuman(genuine)
    assert dataset.clipped > 0 and not dataset.amodal
    assert len(dataset.annotation(0)) == len(CrowdHuman(genuine, amodal=True).annotation(0))
    check_dataset(dataset, samples=2)


def person(**changes: Any) -> dict[str, Any]:
    boxes = {"fbox": [-5, 5, 30, 50], "vbox": [5, 5, 20, 40], "hbox": [8, 5, 9, 9]}
    return {"tag": "person", **boxes, "head_attr": {"ignore": 0}, "extra": {"box_id": 0}, **changes}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(*lines: Any, pictures: tuple[str, ...] = ("a", "b")) -> Path:
        """A file of these lines after a good one for the picture `a`; text is written as it is."""
        (tmp_path / "Images").mkdir(exist_ok=True)
        for name in pictures:
            Image.new("RGB", (80, 60)).save(tmp_path / "Images" / f"{name}.jpg")
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path = tmp_path / "annotation_val.odgt"
        path.write_text("\n".join([json.dumps({"ID": "a", "gtboxes": [person()]}), *texts, ""]))
        return path

    return make


def test_what_is_ignored(write: Write) -> None:
    head = {"ignore": 1}
    entries = [
        person(),
        person(extra={"ignore": 1}),
        person(tag="mask", head_attr={}),
        person(head_attr=head),
        person(extra=None),
    ]
    path = write({"ID": "b", "gtboxes": entries})
    assert CrowdHuman(path).annotation(1).ignore.tolist() == [False, True, True, False, False]
    assert CrowdHuman(path, box="head").annotation(1).ignore.tolist() == [False, True, True, True, False]
    assert CrowdHuman(path).annotation(0).boxes.tolist() == [[0, 5, 25, 55]]
    assert CrowdHuman(path, amodal=True).annotation(0).boxes.tolist() == [[-5, 5, 25, 55]]


@pytest.mark.parametrize(
    ("entry", "kind", "part"),
    [
        (person(tag="persn"), "unknown-class", "'persn' (did you mean 'person'?)"),
        (person(tag=None), "unknown-class", "box 2"),
        (person(fbox=[1, 2, 3]), "bad-box", "fbox is [1, 2, 3], expected four numbers"),
        (person(fbox=None), "bad-box", "four numbers"),
        (person(fbox=[1, 2, True, 4]), "bad-box", "four numbers"),
        (person(fbox=[1, 2, "x", 4]), "bad-box", "four numbers"),
        (person(fbox=[1, 2, float("nan"), 4]), "bad-box", "finite"),
        (person(fbox=[1, 2, 10**400, 4]), "bad-box", "four numbers"),
        (person(fbox=[1, 2, -3, 4]), "inverted-box", "inverted"),
        (person(fbox=[1, 2, 0, 4]), "empty-box", "no area"),
        (person(fbox=[99, 2, 5, 4]), "outside-box", "60×80"),
        ([1, 2], "bad-box", "expected an object"),
    ],
)
def test_wrong_boxes_are_named_and_left_out(write: Write, entry: Any, kind: str, part: str) -> None:
    path = write({"ID": "b", "gtboxes": [person(), entry]})
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = CrowdHuman(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message and "line 2 (b), box 2" in problem.message
    assert problem.path == str(path) and len(dataset.annotation(1)) == 1
    check_dataset(dataset)
    with pytest.raises(DataError, match="strict"):
        CrowdHuman(path, strict=True)


@pytest.mark.parametrize(
    ("line", "kind", "part"),
    [
        ('{"ID": "b", "gtboxes": [', "unreadable-annotation", "line 2 is not valid JSON"),
        ("[]", "unreadable-annotation", "line 2: expected an object"),
        ({"gtboxes": []}, "unreadable-annotation", "line 2: expected an object with the text ID"),
        ({"ID": 7, "gtboxes": []}, "unreadable-annotation", "line 2"),
        ({"ID": "b"}, "unreadable-annotation", "line 2 (b) has no list gtboxes"),
        ({"ID": "a", "gtboxes": []}, "duplicate", "line 2: the ID 'a' is there again"),
        ({"ID": "gone", "gtboxes": []}, "missing-image", "no such file"),
        ({"ID": "../Images/c", "gtboxes": []}, "missing-image", "leads out of the folder"),
        (
            {"ID": "../Images/a", "gtboxes": []},
            "missing-image",
            "which is refused, and the file that ends like it, a.jpg",
        ),
        ({"ID": "/etc/hostname", "gtboxes": []}, "missing-image", "leads out of the folder"),
        ({"ID": "x\0/b", "gtboxes": []}, "missing-image", "no such file"),
    ],
)
def test_wrong_lines_are_named_and_left_out(write: Write, line: Any, kind: str, part: str) -> None:
    path = write(line)
    with pytest.warns(DataWarning, match="1 problem"):
        dataset = CrowdHuman(path)
    (problem,) = dataset.problems
    assert problem.kind == kind and part in problem.message
    assert len(dataset) == 1


def test_a_misspelt_key_whose_meaning_would_be_lost_is_named(write: Write) -> None:
    path = write({"ID": "b", "gtboxes": [person(extra={"ignor": 1}), person(id=4, extra={"ignore": 0, "weight": 1})]})
    with pytest.warns(DataWarning):
        dataset = CrowdHuman(path)
    (problem,) = dataset.problems
    assert problem.kind == "unknown-key" and "'ignor' (did you mean 'ignore'?)" in problem.message
    assert "line 2 (b), box 1" in problem.message


def test_unreadable_pictures_are_named(write: Write, tmp_path: Path) -> None:
    path = write({"ID": "b", "gtboxes": []})
    (tmp_path / "Images/b.jpg").write_text("text")
    with pytest.warns(DataWarning, match="b.jpg"):
        assert CrowdHuman(path).problems[0].kind == "unreadable-image"


def test_wrong_paths_say_what_was_tried(write: Write, tmp_path: Path) -> None:
    path = write()
    with pytest.raises(DataError, match=r"none.odgt: cannot be opened"):
        CrowdHuman(tmp_path / "none.odgt")
    with pytest.raises(DataError, match=r"box: expected one of full, visible, head, got 'body'"):
        CrowdHuman(path, box="body")  # type: ignore[arg-type]
    elsewhere = (tmp_path / "Images").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    with pytest.raises(DataError, match=r"'a.jpg' are in none of .*give their folder as `images`"):
        CrowdHuman(path)
    assert len(CrowdHuman(path, elsewhere)) == 1
    with pytest.raises(DataError, match="no such folder"):
        CrowdHuman(path, tmp_path / "none")
    path.write_text('{"images": []}\n')
    with pytest.raises(DataError, match=r"no line in CrowdHuman's format.*The first problem: .*line 1"):
        CrowdHuman(path)
