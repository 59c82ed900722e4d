"""Boxes of another project's results against those of a network here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet import Detector
from centernet.foreign.comparing import compare
from centernet.network import load_network


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[dict[str, Any]]]:
    """A network, a folder of images with ids for names, and its own results in COCO's form."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in (7, 12):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        coarse.resize((320, 256), Image.Resampling.BICUBIC).save(folder / f"{number:012d}.png")
    network = load_network("voc-lite")
    detector = Detector(network, score_threshold=0.0)
    rows = []
    for path in sorted(folder.iterdir()):
        found = detector(path)
        for box, label in zip(found.bboxes[:5].tolist(), found.labels[:5].tolist(), strict=True):
            x1, y1, x2, y2 = box
            bbox = [x1, y1, x2 - x1, y2 - y1]
            rows.append({"image_id": int(path.stem), "category_id": label + 1, "bbox": bbox, "score": 0.5})
        for row, score in zip(rows[-5:], found.scores[:5].tolist(), strict=True):
            row["score"] = score
    return network, folder, rows


def test_results_of_the_same_network_agree(case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, folder, rows = case
    monkeypatch.setattr("centernet.foreign.comparing.THRESHOLD", 0.0)
    results = tmp_path / "results.json"
    results.write_text(json.dumps(rows))
    assert compare(network, results, folder).share == 1
    moved = [{**rows[0], "bbox": [0, 0, 5, 5]}, *rows[1:], {**rows[0], "image_id": 99}]
    results.write_text(json.dumps(moved))
    found = compare(network, results, folder)
    assert found.images == {"000000000007.png": (5, 4), "000000000012.png": (5, 5)} and found.without == 1
    text = str(found)
    assert text.startswith("90.0% of 10 boxes") and "000000000007.png: 4 of 5" in text


@pytest.mark.parametrize("content", ["{}", "[]", "[{}]", "no JSON"])
def test_what_are_no_results(case: Any, tmp_path: Path, content: str) -> None:
    network, folder, rows = case
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match="no COCO results"):
        compare(network, tmp_path / "results.json", folder)
    (tmp_path / "results.json").write_text(json.dumps([{**rows[0], "image_id": 5}]))
    with pytest.raises(ValueError, match="none of its 1 images"):
        compare(network, tmp_path / "results.json", folder)
