"""docs/integrations.md: programs of others, where they are installed, take what we give and give it back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet import Detections
from centernet.data.detect_format import find_format
from centernet.inference import CocoWriter, Frame

PAGE = Path(__file__).resolve().parents[1] / "docs/integrations.md"


def snippet(heading: str) -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2], re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.filterwarnings("ignore")  # those of gradio
def test_the_demo_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    gradio = pytest.importorskip("gradio", reason="gradio is not installed")
    client = pytest.importorskip("gradio_client")
    code = snippet("A demo by Gradio")
    assert len([line for line in code.splitlines() if line]) <= 10
    matplotlib = pytest.importorskip("matplotlib")
    photo = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    launch, launched = gradio.Interface.launch, []

    def start(demo: Any) -> None:
        launched.append(demo)
        launch(demo, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", inbrowser=False)

    monkeypatch.setattr(gradio.Interface, "launch", start)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})
    (demo,) = launched
    try:
        call = client.Client(demo.local_url, verbose=False).predict
        drawn, found = call(client.handle_file(str(photo)), 0.3, api_name="/look")
        _, more = call(client.handle_file(str(photo)), 0.05, api_name="/look")
    finally:
        demo.close()
    assert "person" in found["names"] and min(found["scores"]) >= 0.3 and len(more["names"]) > len(found["names"])
    path = drawn["path"] if isinstance(drawn, dict) else drawn
    assert Image.open(path).size == Image.open(photo).size
    assert (np.asarray(Image.open(path).convert("RGB")) != np.asarray(Image.open(photo).convert("RGB"))).any()


@pytest.mark.filterwarnings("ignore")  # those of supervision
def test_supervision_there_and_back() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    boxes, ages = [[0, 0, 5, 5.5], [1, 2, 30, 40]], np.array([3.5, 4], np.float32)
    for extra in ({}, {"track_ids": [7, 9]}, {"embeddings": [[1, 2], [3, 4]]}, {"data": {"age": ages}}):
        found = Detections(boxes, [1, 0], [0.9, 0.5], class_names=("cat", "dog"), **extra)  # type: ignore[arg-type]
        theirs = found.to_supervision()
        assert isinstance(theirs, supervision.Detections) and theirs["class_name"].tolist() == ["dog", "cat"]
        assert Detections.from_supervision(theirs) == found
        assert Detections.from_supervision(theirs[[1]], ("cat", "dog")) == found[1]
    assert len(Detections.from_supervision(Detections.empty(("cat",)).to_supervision(), ("cat",))) == 0


@pytest.mark.filterwarnings("ignore")  # those of FiftyOne
def test_fiftyone_reads_what_detect_wrote_and_we_what_it_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its importer and exporter of COCO's form, which its data sets use; they alone need no database."""
    pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    from fiftyone.core.metadata import ImageMetadata
    from fiftyone.utils.coco import COCODetectionDatasetExporter, COCODetectionDatasetImporter

    monkeypatch.chdir(tmp_path)
    boxes = {"a b.jpg": [[4.25, 5.5, 30.75, 40], [0, 0, 80, 60]], "none.jpg": []}
    with CocoWriter("found/detections.json", ("cat", "big dog")) as writer:
        for place, (name, rows) in enumerate(boxes.items()):
            path = Path("photos", name)
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (80, 60), "gray").save(path)
            found = Detections(rows, [1, 0][: len(rows)], [0.75, 0.5][: len(rows)], class_names=("cat", "big dog"))
            writer.write(Frame(np.zeros((60, 80, 3), np.uint8), name, path, place), found)
    importer = COCODetectionDatasetImporter(
        data_path="photos", labels_path="found/detections.json", label_types="detections"
    )
    exporter = COCODetectionDatasetExporter(export_dir="corrected", classes=["cat", "big dog"], info={})
    with importer, exporter:
        samples = list(importer)
        assert len(samples) == 2
        for path, metadata, label in samples:
            objects = [] if label is None else label.detections
            assert [(one.label, one.confidence) for one in objects] == [("big dog", 0.75), ("cat", 0.5)][: len(objects)]
            for one in objects[:1]:  # moved by 8 pixels to the right
                one.bounding_box = [one.bounding_box[0] + 0.1, *one.bounding_box[1:]]
            exporter.export_sample(path, label, metadata or ImageMetadata.build_for(path))
    dataset = find_format(Path("corrected")).open("train")
    assert dataset.class_names == ("cat", "big dog") and len(dataset) == 2
    truth = {Path(dataset.path(i)).name: dataset.annotation(i) for i in range(2)}
    assert truth["a b.jpg"].labels.tolist() == [1, 0] and not len(truth["none.jpg"].labels)
    np.testing.assert_allclose(truth["a b.jpg"].boxes, [[12.25, 5.5, 38.75, 40], [0, 0, 80, 60]], atol=0.01)
