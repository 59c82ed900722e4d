"""The bridge to datumaro: boxes, labels, flags and losses of what it reads, and errors that name the way on.

Where datumaro is not installed a stand-in of a few lines has its place, so that the bridge itself is tried everywhere.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from centernet.data import DataError, DataWarning, Datumaro
from centernet.data.detect_format import find_format
from centernet.testing import check_dataset

Make = Callable[[list[Any]], None]


def annotation(
    kind: str, box: tuple[float, ...] = (0, 0, 1, 1), label: int | None = 0, group: int = 0, **attributes: Any
) -> Any:
    """As datumaro's: a kind, a box x y width height, a label and attributes."""
    names = {"type": SimpleNamespace(name=kind), "label": label, "group": group, "attributes": attributes}
    return SimpleNamespace(get_bbox=lambda: box, **names)


def item(path: Path | None, *annotations: Any, size: tuple[int, int] | None = (60, 80), name: str = "x") -> Any:
    media = SimpleNamespace(path=str(path) if path else None, size=size, has_size=size is not None)
    return SimpleNamespace(id=name, media=media, annotations=list(annotations))


class Kind:
    """As a member of datumaro's enumeration."""

    name = "label"


class Items(list[Any]):
    """As a data set of datumaro's."""

    def init_cache(self) -> None:
        if self and isinstance(self[0], Exception):
            raise self[0]

    def subsets(self) -> dict[str, Any]:
        return {"train": Items(self[:1]), "val": Items(self[1:])}

    def categories(self) -> dict[Kind, Any]:
        return {Kind(): SimpleNamespace(items=[SimpleNamespace(name=name) for name in ("background", "cat", "dog")])}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(items: list[Any]) -> None:
        module, version = ModuleType("datumaro"), ModuleType("datumaro.version")
        module.Environment = lambda: SimpleNamespace(importers=["vott_json", "mpii"])  # type: ignore[attr-defined]
        module.Dataset = SimpleNamespace(import_from=lambda path, name: Items(items))  # type: ignore[attr-defined]
        version.__version__ = "1.13.0"  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datumaro", module)
        monkeypatch.setitem(sys.modules, "datumaro.version", version)

    return make


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 60), "gray").save(path)
    return path


def test_objects_and_what_is_lost(tmp_path: Path, stand_in: Make) -> None:
    a, b = picture(tmp_path / "x/a.jpg"), picture(tmp_path / "y/b.jpg")
    stand_in(
        [
            item(
                a,
                annotation("bbox", (1, 2, 10, 20), 1, is_crowd=False, occluded=True),
                annotation("bbox", (5, 5, 10, 10), 2, difficult="1"),
                annotation("polygon", (1, 1, 4, 4), 1, group=7),  # two parts of one object
                annotation("polygon", (10, 1, 5, 9), 1, group=7),
                annotation("bbox", (20, 20, 10, 10), 2, group=8),
                annotation("mask", (21, 20, 8, 9), 2, group=8),  # its outline
                annotation("polyline"),
                annotation("caption"),
            ),
            item(b, size=None),
        ]
    )
    with pytest.warns():
        dataset = Datumaro(tmp_path, "mpii")
    check_dataset(dataset)
    truth = dataset.annotation(0)
    assert dataset.class_names == ("background", "cat", "dog") and len(dataset) == 2
    assert truth.boxes.tolist() == [[1, 2, 11, 22], [5, 5, 15, 15], [1, 1, 15, 10], [20, 20, 30, 30]]
    assert truth.labels.tolist() == [1, 2, 1, 2] and truth.ignore.tolist() == [False, True, False, False]
    text = "\n".join(map(str, dataset.problems))
    assert "2 shapes that have no box are left out: polyline 1, caption 1" in text
    assert "attributes are not used: occluded 1" in text
    assert [len(Datumaro(tmp_path, "mpii", split="val").annotation(0)), len(dataset.problems)] == [0, 2]


def test_what_cannot_be_used_is_named(tmp_path: Path, stand_in: Make) -> None:
    a = picture(tmp_path / "a.jpg")
    wrong = [
        annotation("bbox", (1, 2, 3, 4), None),
        annotation("bbox", (1, 2, 3, 4), 9),
        annotation("bbox", (1, 2, 0, 4)),
    ]
    stand_in([item(a, *wrong), item(a, name="again"), item(None, name="inside"), item(tmp_path / "z.jpg")])
    with pytest.warns():
        dataset = Datumaro(tmp_path, "mpii")
    text = "\n".join(map(str, dataset.problems))
    for expected in (
        "object 1 of a.jpg: no label",
        "object 2 of a.jpg: no label",
        "the box [1, 2, 1, 6] (x1 y1 x2 y2) has no area",
        "the image a.jpg is there again, as again",
        "1 images are not files of their own but within others, such as inside",
        "z.jpg",
    ):
        assert expected in text


def test_errors_name_the_way_on(tmp_path: Path, stand_in: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in([item(picture(tmp_path / "a.jpg"))])
    with pytest.raises(
        DataError, match=r"datumaro 1\.13\.0 has no format 'vott' \(did you mean 'vott_json'\?\); it has mpii"
    ):
        Datumaro(tmp_path, "vott")
    with pytest.raises(
        DataError, match=r"no subset 'trian' \(did you mean 'train'\?\); the subsets there are train, val"
    ):
        Datumaro(tmp_path, "mpii", split="trian")
    stand_in([KeyError("pixels")])
    with pytest.raises(DataError, match=r"datumaro 1\.13\.0 cannot read it as mpii: 'pixels'"):
        Datumaro(tmp_path, "mpii")
    stand_in([item(None)])
    with pytest.raises(DataError, match=r"finds no image in it as mpii.*within others"):
        Datumaro(tmp_path, "mpii")
    monkeypatch.setitem(sys.modules, "datumaro", None)
    with pytest.raises(ImportError, match=r"needs the package datumaro: pip install 'centernet\[datumaro\]'"):
        Datumaro(tmp_path, "mpii")


def test_it_is_a_format_by_name(tmp_path: Path, stand_in: Make) -> None:
    stand_in(
        [item(picture(tmp_path / "a.jpg"), annotation("bbox", (1, 2, 10, 20), 1)), item(picture(tmp_path / "b.jpg"))]
    )
    (tmp_path / "export.json").write_text('{"regions": [{"boundingBox": {"left": 1}}]}')
    source = find_format(tmp_path, name="datumaro:vott_json")
    assert list(source.splits) == ["train", "val"] and source.description == "vott_json (by datumaro)"
    datasets = [source.open(split) for split in source.splits]
    assert [len(dataset.annotation(0)) for dataset in datasets] == [1, 0]
    assert source.unread(datasets).annotations == []
    arguments = {"root": str(tmp_path), "dataset_format": "vott_json", "split": "train"}
    assert source.section("train") == {"class_path": "Datumaro", "init_args": arguments}
    with pytest.raises(
        DataError, match=r"format 'vott' is not known.*or datumaro:NAME with a format that datumaro reads"
    ):
        find_format(tmp_path, name="vott")


def test_what_datumaro_writes(tmp_path: Path) -> None:
    """The package itself, where it is installed: boxes that it wrote are those that come back."""
    dm = pytest.importorskip("datumaro")
    boxes = [dm.Bbox(10, 20, 30, 25, label=1), dm.Bbox(1.5, 2.5, 8, 9, label=0)]
    media = dm.Image.from_file(path=str(picture(tmp_path / "a.jpg")))
    made = dm.Dataset.from_iterable(
        [dm.DatasetItem(id="a", subset="train", media=media, annotations=boxes)], categories=["cat", "dog"]
    )
    for name in ("datumaro", "label_me"):
        made.export(str(tmp_path / name), name, save_media=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # says which attributes are not used
            dataset = Datumaro(tmp_path / name, name, split="train")
        check_dataset(dataset)
        truth = dataset.annotation(0)
        found = sorted((dataset.class_names[k], box) for k, box in zip(truth.labels, truth.boxes.tolist(), strict=True))
        assert found == [("cat", [1.5, 2.5, 9.5, 11.5]), ("dog", [10, 20, 40, 45])]
