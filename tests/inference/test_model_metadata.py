"""The metadata of exported files: there and back, and what a file that lies is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from centernet.calibration import Calibration
from centernet.detections import Column
from centernet.images import Preprocessing
from centernet.inference.model_metadata import ModelMetadata
from centernet.lineage import Lineage

METADATA = ModelMetadata(
    class_names=("cat", "dög"),
    preprocessing=Preprocessing(size=(96, 128), resize="stretch"),
    stride=8,
    num_detections=7,
    dtype="float32",
    layout="NCHW",
    outputs=("bboxes", "labels", "scores", "pose", "heatmap"),
    columns=(Column("pose", "points", (17, 3)),),
    maps=("heatmap",),
    precision="float16",
    score_threshold=0.25,
    calibration=Calibration(temperature=0.5, shift=-1.5, score_threshold=0.25, class_thresholds={"dög": 0.4}),
    tracker={"preset": "default", "high_score": 0.45, "low_score": None, "reupdate": True},
    figures={"AP": 0.371},
    lineage=Lineage(name="pets", licence="MIT", started_from=Lineage(name="wölfe", notices=("© somebody",))),
)


def test_there_and_back() -> None:
    assert ModelMetadata.from_json(METADATA.to_json(), source="x") == METADATA
    assert ModelMetadata.from_json(ModelMetadata().to_json(), source="x") == ModelMetadata()


def test_the_first_files_say_nothing_of_a_tracker_or_columns() -> None:
    values = json.loads(METADATA.to_json()) | {"version": 1}
    del values["tracker"], values["columns"], values["calibration"], values["lineage"]
    read = ModelMetadata.from_json(json.dumps(values), source="x")
    assert read == replace(METADATA, tracker={}, columns=(), calibration=None, lineage=None)


@pytest.mark.parametrize(("version", "lacks"), [(2, ("calibration", "lineage")), (3, ("lineage",))])
def test_earlier_versions_say_nothing_of_what_came_later(version: int, lacks: tuple[str, ...]) -> None:
    values = json.loads(METADATA.to_json()) | {"version": version}
    for key in lacks:
        del values[key]
    expected: Any = dict.fromkeys(lacks)
    assert ModelMetadata.from_json(json.dumps(values), source="x") == replace(METADATA, **expected)


def test_it_is_one_line_of_ascii_json_without_what_json_has_not() -> None:
    text = ModelMetadata(class_names=("dög",), figures={"AP": 0.5, "AR": float("nan")}).to_json()
    assert text.isascii() and "\n" not in text
    assert json.loads(text)["figures"] == {"AP": 0.5}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 6}, "not of version 1 to 5"),
        ({"version": "4"}, "not of version 1 to 5"),
        ({"class_names": "cat"}, "class_names = 'cat'"),
        ({"class_names": ["cat", "cat"]}, "class_names"),
        ({"stride": 0}, "stride = '0'"),
        ({"stride": True}, "stride"),
        ({"dtype": "int4"}, "dtype = 'int4'"),
        ({"layout": ["NHWC"]}, "layout"),
        ({"outputs": ["scores"]}, "outputs"),
        ({"columns": [1]}, "columns"),
        ({"columns": [{"name": "pose", "kind": "points", "shape": [1]}]}, "column pose"),
        ({"columns": [{"name": "pose", "form": "points"}]}, "unexpected keyword"),
        ({"columns": []}, "describes"),
        ({"letterbox": 1}, "letterbox"),
        ({"score_threshold": 3}, "score_threshold"),
        ({"figures": {"AP": "high"}}, "figures"),
        ({"calibration": 0.3}, "calibration = '0.3'"),
        ({"calibration": {"temperature": "1"}}, "calibration"),
        ({"calibration": {"temperature": 0, "class_thresholds": {}}}, "calibration.temperature: expected"),
        ({"calibration": {"class_thresholds": {"cat": float("nan")}}}, "calibration"),
        ({"calibration": {"class_thresholds": {}, "scale": 1}}, "unexpected keyword"),
        ({"lineage": "mine"}, "lineage = 'mine'"),
        ({"lineage": {"licence": ["MIT"]}}, "lineage.licence: expected a text"),
        ({"tracker": "default"}, "tracker = 'default'"),
        ({"tracker": {"preset": ["default"]}}, "tracker"),
        ({"tracker": {"options": {}}}, "tracker"),
        ({"tracker": {"gate": float("nan")}}, "tracker"),
        ({"preprocessing": {"size": [0, 0]}}, "preprocessing"),
        ({"preprocessing": {"colour": 1}}, "unknown key colour"),
        ({"surprise": 1}, "surprise"),
        ({"stride": None}, "stride"),
    ],
)
def test_a_file_that_lies_is_refused(change: dict[str, Any], says: str) -> None:
    text = json.dumps(json.loads(METADATA.to_json()) | change)
    with pytest.raises(ValueError, match=says) as error:
        ModelMetadata.from_json(text, source="bad.onnx")
    assert "bad.onnx" in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null"])
def test_what_is_no_metadata_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bad\.onnx"):
        ModelMetadata.from_json(text, source="bad.onnx")
