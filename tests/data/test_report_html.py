"""The page stands alone, is well formed, and shows text of files as text."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from centernet.data import COCO, VOC, DetectionDataset, Synthetic
from centernet.data.audit import audit
from centernet.data.findings import DatasetReport
from centernet.data.report_html import Figure, figure, report_as_html

pytestmark = pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
HOSTILE = "<script>alert('1')</script>\"&"


class Page(HTMLParser):
    """Counts tags, and finds those that are not closed in their order."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def sample(name: str, class_name: str = "hat") -> Figure:
    heatmap = np.zeros((12, 16), dtype=np.float32)
    heatmap[5, 5] = 1
    boxes = np.array([[10, 10, 30, 30], [0, 0, 5, 5]], dtype=np.float32)
    labels, ignore = np.array([0, -1]), np.array([False, True])
    image = np.full((48, 64, 3), 90, dtype=np.uint8)
    return figure(image, boxes, labels, ignore, [class_name], name, heatmap=heatmap)


def messy(shared: Path) -> DatasetReport:
    root = shared / "data/fixtures/messy_voc"
    return audit({name: VOC(root, name) for name in ("train", "val")})


def test_the_page_stands_alone(shared: Path) -> None:
    report = messy(shared)
    page = Page(report_as_html(report, title="messy", samples=[sample("a.jpg")]))
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        source = attributes.get("src")
        assert source is None or source.startswith(("data:image/jpeg;base64,", "data:image/png;base64,"))
        if source is not None:
            Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).load()
        assert not any(name.startswith("on") or name == "href" for name in attributes)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "content" in a and "http-equiv" in a)
    assert policy is not None and "default-src 'none'" in policy
    for finding in report.findings:
        assert Path(finding.path).name in page.text and finding.message in page.text
    assert "6 errors" in page.text and "2 warnings" in page.text
    assert page.count("figure") == 2  # of the rare class, and of training
    assert 'class="ignored"' in report_as_html(report, title="", samples=[sample("a.jpg")])


def test_names_from_files_are_shown_as_text(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 48, "width": 64},
            {"id": 2, "file_name": HOSTILE, "height": 48, "width": 64},
        ],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 3, 20, 20]}],
        "categories": [{"id": 1, "name": HOSTILE}],
    }
    (tmp_path / "all.json").write_text(json.dumps(content))
    report = audit({HOSTILE: COCO(tmp_path / "all.json")}, failed={"test": HOSTILE})
    text = report_as_html(report, title=HOSTILE, subtitle=HOSTILE, samples=[sample(HOSTILE, HOSTILE)],
                          configuration=HOSTILE)  # fmt: skip
    page = Page(text)
    assert page.count("script") == 0 and "<script" not in text
    assert page.text.count(HOSTILE) > 6
    assert not re.search(r'="[^"]*<script', text)


def test_the_page_of_many_findings_stays_small(tmp_path: Path) -> None:
    Synthetic(1, size=(32, 32)).write(tmp_path, format="coco")
    path = tmp_path / "annotations_train.json"
    content = json.loads(path.read_text())
    entry = {"height": 32, "width": 32}
    content["images"] += [{"id": n, "file_name": f"missing_{n}.jpg", **entry} for n in range(10, 5000)]
    path.write_text(json.dumps(content))
    text = report_as_html(audit({"train": COCO(path)}), title="many")
    assert "missing_10.jpg" in text and "4,790 more" in text and len(text) < 200_000


def test_a_report_of_nothing(tmp_path: Path) -> None:
    report = audit({}, failed={"train": "data/x: no such folder"})
    page = Page(report_as_html(report, title="x"))
    assert "data/x: no such folder" in page.text and "1 error" in page.text


def test_pairs_are_shown_side_by_side(tmp_path: Path) -> None:
    splits: dict[str, DetectionDataset] = {}
    for split in ("train", "val"):
        Synthetic(3, size=(96, 128), seed=4).write(tmp_path / split, split=split)
        splits[split] = VOC(tmp_path / split, split)
    report = audit(splits)
    assert len(report.pairs) == 3
    text = report_as_html(report, title="pairs")
    pairs = Page(text[text.index('<div class="pairs">') : text.index("</section>", text.index('<div class="pairs">'))])
    assert pairs.count("figure") == 6 and pairs.text.count("train: train_00000") == pairs.text.count("val: val_00") == 3
