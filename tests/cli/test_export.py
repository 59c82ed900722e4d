"""`centernet export`: what it writes and says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from centernet.cli.main import main

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as `save_pretrained` writes it."""
    from centernet import build_centernet

    model = build_centernet(
        {
            "model": {
                "class_names": ["cat", "dog"],
                "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 1}},
                "neck": {"class_path": "FPN", "init_args": {"width": 8}},
                "heads": {
                    "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
                    "box": {"class_path": "LTRBHead", "init_args": {"width": 8}},
                },
                "preprocessing": {"size": [64, 96]},
            }
        }
    )
    path = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(path)
    config = path / "config.yaml"
    config.write_text(config.read_text() + "figures: {AP: 0.25}\n")
    return path


def test_it_writes_a_file_and_says_how_near_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from centernet.inference.model_metadata import ModelMetadata

    monkeypatch.chdir(tmp_path)
    assert main(["export", str(folder), "--input-size", "48", "80", "--num-detections", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("wrote tiny.onnx (") and "differs from PyTorch by at most" in lines[0]
    session = onnxruntime.InferenceSession("tiny.onnx", providers=["CPUExecutionProvider"])
    metadata = ModelMetadata.from_json(session.get_modelmeta().custom_metadata_map["centernet"], source="tiny.onnx")
    assert metadata.preprocessing.size == (48, 80) and metadata.num_detections == 9 and metadata.figures == {"AP": 0.25}


@pytest.mark.parametrize(
    ("words", "outputs"),
    [
        (["--raw-maps", "only", "MODEL"], ["heatmap", "box"]),
        (["--raw-maps", "MODEL"], ["bboxes", "labels", "scores", "heatmap", "box"]),
        (["MODEL", "--no-raw-maps"], ["bboxes", "labels", "scores"]),
    ],
)
def test_raw_maps_beside_the_decode_or_alone(
    folder: Path, tmp_path: Path, words: list[str], outputs: list[str]
) -> None:
    path = tmp_path / "m.onnx"
    assert main(["export", *(str(folder) if word == "MODEL" else word for word in words), "--output", str(path)]) == 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == outputs


def test_other_formats(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, file in (("torchscript", "a/model.pt"), ("pt2", "b/model.pt2")):
        assert main(["export", str(folder), "--format", name, "--output", str(tmp_path / file)]) == 0
        assert f"wrote {tmp_path / file}" in capsys.readouterr().out and (tmp_path / file).is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--format", "pt2", "--letterbox"],
            "letterbox belongs to the format onnx or torchscript",
        ),
        (["--int8"], "int8 and calibrate, a folder of images, go together"),
        (["--calibrate", "photos"], "int8 and calibrate, a folder of images, go together"),
        (["--format", "torchscript", "--opset", "18"], "opset belongs to the format onnx, not torchscript"),
        (
            ["--int8", "--calibrate", "photos", "--precision", "float16"],
            "--precision: not allowed with argument --int8",
        ),
        (["--annotations", "val.json"], "--annotations and --images go together"),
        (["--format", "caffe"], "invalid choice"),
    ],
)
def test_combinations_that_mean_nothing_are_wrong_usage(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "voc-lite", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("absent.ckpt", "absent.ckpt does not exist"),
        ("voc-light", "no such model"),
        ("model.onnx", "is an exported file already"),
    ],
)
def test_a_model_that_is_none_is_named(model: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", model]) == 1
    assert says in capsys.readouterr().err


def test_an_opset_that_is_not_supported_is_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(folder), "--opset", "9"]) == 1
    assert "expected one from 13 to 23" in capsys.readouterr().err
