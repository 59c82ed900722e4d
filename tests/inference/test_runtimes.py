"""The files of every exporter behind one class: the model's own answers, and clear errors for files that are none."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from centernet import CenterNet, Detector, build_centernet
from centernet.export import ExportOptions, export
from centernet.images import Preprocessing

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = {
    "model": {
        "class_names": ["cat", "dog", "bird"],
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [96, 128]},
        "tracker": {"preset": "bytetrack", "high_score": 0.1, "new_score": 0.12, "low_score": None},
    }
}
LIMIT = 0.18  # a score that some objects of random weights have, and others have not
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
FILES = [
    pytest.param(".onnx"),
    pytest.param(".pt"),
    pytest.param(".pt2", marks=pytest.mark.slow),
    pytest.param(".compiled.pt2", marks=[pytest.mark.slow, needs_compiler]),
    pytest.param(".xml", marks=[pytest.mark.slow, needs_openvino]),
]


@pytest.fixture(scope="module")
def model() -> CenterNet:
    """Weights that are random, but tell one place from another: scores differ, so that their order is no chance."""
    torch.manual_seed(0)
    model = build_centernet(CONFIG).eval()
    with torch.no_grad():
        model.heads["heatmap"].layers[-1].weight.normal_(std=0.4)
    return model


@pytest.fixture(scope="module")
def write(model: CenterNet, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Export the detector once for each set of options."""
    folder = tmp_path_factory.mktemp("exported")

    def file(suffix: str, **options: Any) -> Path:
        path: Path = folder / ("_".join(map(str, ["model", *options.items()])) + suffix)
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                export(model.network, path, ExportOptions(compile="compiled" in suffix, **options))
        return path

    return file


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five JPEG files of odd sizes; one is large enough to be decoded reduced."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(97, 131), (200, 150), (60, 300), (480, 640), (96, 128)]):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.jpg"), cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.mark.parametrize("suffix", FILES)
def test_a_file_gives_the_model_s_answers(
    suffix: str, write: Callable[..., Path], model: CenterNet, photos: Path
) -> None:
    expected = model.inference_detection(photos, num_detections=50)
    detector = Detector(write(suffix), batch_size=2, trust="compiled" in suffix)
    found = detector.stacked(photos, num_detections=50)
    assert found["paths"] == expected["paths"] and detector.class_names == ("cat", "dog", "bird")
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)
    # Neighbours whose scores differ by less than the tolerance may change places.
    clear = np.abs(np.diff(expected["scores"], axis=1, prepend=1, append=0)) > 1e-4
    clear = clear[:, :-1] & clear[:, 1:]
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(found["labels"][clear], expected["labels"][clear])
    np.testing.assert_allclose(found["bboxes"][clear], expected["bboxes"][clear], atol=0.05)


@pytest.mark.parametrize("suffix", ["", *FILES])
def test_what_was_suppressed_is_no_detection(suffix: str, model: CenterNet, photos: Path, tmp_path: Path) -> None:
    suppressing = copy.deepcopy(model)
    suppressing.network.nms_iou = 0.1
    source: Any = suppressing
    if suffix:
        source = export(suppressing.network, tmp_path / f"model{suffix}", ExportOptions(compile="compiled" in suffix))
    detector = Detector(source, score_threshold=0, trust="compiled" in suffix)
    photo = sorted(photos.iterdir())[0]
    found = detector(photo)
    assert 0 < len(found) < detector.num_detections and found.scores.min() > 0
    rows = detector.stacked(photo)
    assert rows["scores"].shape == (1, detector.num_detections) and (rows["scores"] > 0).sum() == len(found)


@pytest.mark.parametrize("suffix", [pytest.param(".onnx", marks=pytest.mark.slow), ".pt"])
def test_a_graph_with_its_own_letterbox_takes_the_pictures_themselves(
    suffix: str, write: Callable[..., Path], model: CenterNet, photos: Path
) -> None:
    path = photos / "4.jpg"  # of the input's size: nothing is interpolated, here or there
    expected = Detector(model, score_threshold=LIMIT)(path)
    found = Detector(write(suffix, letterbox=True), score_threshold=LIMIT)(path)
    assert len(expected) > 3
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.bboxes, expected.bboxes, atol=0.05)
    many = Detector(write(suffix, letterbox=True)).stacked(photos)  # of five sizes
    for path, boxes in zip(many["paths"], many["bboxes"], strict=True):
        height, width = cv2.imread(path).shape[:2]
        assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()


@pytest.mark.slow
def test_a_file_that_takes_normalised_pictures_answers_alike(
    write: Callable[..., Path], model: CenterNet, photos: Path, tmp_path: Path
) -> None:
    model.to_onnx(tmp_path / "float.onnx", torch.rand(1, 3, 96, 128))
    found = Detector(tmp_path / "float.onnx", score_threshold=LIMIT)(photos / "1.jpg")
    expected = Detector(write(".onnx"), score_threshold=LIMIT)(photos / "1.jpg")
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.bboxes, expected.bboxes, atol=0.05)


def test_more_objects_than_the_file_gives_are_a_warning(write: Callable[..., Path], photos: Path) -> None:
    path = write(".pt", num_detections=20)
    with pytest.warns(UserWarning, match="at most 20 objects an image, not 100"):
        Detector(path, num_detections=100)
    detector = Detector(path, score_threshold=0)  # without a word
    assert len(detector(photos / "0.jpg")) == 20
    assert detector.stacked(photos / "0.jpg", 30)["scores"].shape == (1, 30)
    assert len(Detector(path, num_detections=5, score_threshold=0)(photos / "0.jpg")) == 5


def test_threads_are_the_network_s_own(
    write: Callable[..., Path], model: CenterNet, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def number(**options: Any) -> int:
        runtime: Any = Detector(write(".onnx"), **options).runtime
        return int(runtime.session.get_session_options().intra_op_num_threads)

    assert number(threads=3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert number() == 2 and number(threads=1) == 1
    with pytest.raises(ValueError, match="threads: expected at least 1"):
        number(threads=0)

    before, seen = torch.get_num_threads(), []
    hook = model.network.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    Detector(model, threads=before + 1)(photos / "0.jpg")
    hook.remove()
    assert seen == [before + 1] and torch.get_num_threads() == before


SUFFIXES = [".onnx", ".pt", ".pt2", ".ckpt", pytest.param(".xml", marks=needs_openvino)]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"no model at all" * 100, b"PK\x03\x04" + bytes(500), b"\x08\x07" * 300])
def test_what_is_no_model_is_named(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    path.with_suffix(".bin").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=rf"broken\{suffix}.* (cannot be|does not say)"):
            Detector(path)


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_a_file_that_is_cut_off_is_named(suffix: str, write: Callable[..., Path], tmp_path: Path) -> None:
    whole = write(suffix).read_bytes()
    for share in (0.3, 0.9, 0.999):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=rf"cut\{suffix}: cannot be opened as .* is the file whole"):
            Detector(path)


def test_another_program_s_files_are_named(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mbv3_centernet_coco\.onnx: .* another program wrote it"):
        Detector(shared / "weights/mbv3_centernet_coco.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), str(tmp_path / "foreign.pt"))
    torch.save({"weights": torch.zeros(3)}, tmp_path / "pickle.pt")
    with pytest.raises(ValueError, match=r"foreign\.pt: .* another program wrote it"):
        Detector(tmp_path / "foreign.pt")
    with pytest.raises(ValueError, match=r"pickle\.pt: is weights or a checkpoint that torch\.save wrote"):
        Detector(tmp_path / "pickle.pt")


def test_devices_that_are_not_there_are_named(write: Callable[..., Path]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="device 'tpu': expected 'cpu', 'cuda'"):
        Detector(write(".onnx"), device="tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ValueError, match=r"onnxruntime runs on .*CPUExecutionProvider"):
            Detector(write(".onnx"), device="cuda:0")


@needs_openvino
@pytest.mark.slow
def test_weights_that_are_not_beside_their_graph_are_named(write: Callable[..., Path], tmp_path: Path) -> None:
    path = tmp_path / "alone.xml"
    path.write_bytes(write(".xml").read_bytes())
    with pytest.raises(ValueError, match=r"alone\.bin are not beside it"):
        Detector(path)


def without(packages: list[str], code: str, *, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where some packages cannot be imported."""
    program = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in packages) + code
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


HEAVY = ["torch", "torchvision", "lightning", "timm", "jsonargparse", "onnx", "onnxscript", "matplotlib", "rich"]
HEAVY += ["safetensors", "openvino", "albumentations"]


def test_an_onnx_file_needs_neither_torch_nor_anything_of_training(
    write: Callable[..., Path], model: CenterNet, photos: Path, tmp_path: Path
) -> None:
    expected = Detector(model, score_threshold=LIMIT)(photos / "3.jpg")
    assert len(expected) > 3
    path, photo = write(".onnx"), photos / "3.jpg"
    code = (
        "import json; from centernet import Detector\n"
        f"found = Detector({str(path)!r}, score_threshold={LIMIT})({str(photo)!r})\n"
        "print(json.dumps([found.scores.tolist(), found.bboxes.tolist(), found.names]))"
    )
    done = without(HEAVY, code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    scores, boxes, names = json.loads(done.stdout)
    np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(boxes, expected.bboxes, atol=0.05)
    assert names == expected.names


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["--help"], 0, "commands:"),
        (["detect", "PHOTO", "--model", "MODEL", "--format", "pictures,json,csv"], 0, "wrote detections"),
        (["benchmark", "MODEL", "--rounds", "2", "--output", "speed"], 0, "wrote speed"),
        (["track", "PHOTOS", "--model", "MODEL", "--format", "mot"], 0, "wrote tracks"),
        (["evaluate-tracking", "--help"], 0, "usage"),
        (["detect", "PHOTO"], 0, "wrote detections"),
        (["detect", "PHOTO", "--model", "PHOTOS"], 1, "needs the package torch: pip install 'centernet[train]'"),
        (["fit", "--config", "x.yaml"], 1, "pip install 'centernet[train]'"),
    ],
)
def test_the_commands_without_torch(
    command: list[str], code: int, says: str, write: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    paths = {"PHOTO": str(photos / "3.jpg"), "PHOTOS": str(photos), "MODEL": str(write(".onnx"))}
    given = [paths.get(word, word) for word in command]
    done = without(HEAVY, f"from centernet.cli.main import main\nsys.exit(main({given!r}))", folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("package", "suffix", "extra"), [("onnxruntime", ".onnx", "onnx"), ("torch", ".pt", "train")])
def test_a_runtime_that_is_not_installed_is_named_with_its_extra(
    package: str, suffix: str, extra: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    code = f"from centernet import Detector\nDetector({str(write(suffix))!r})"
    done = without([package], code, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"needs the package {package}: pip install 'centernet[{extra}]'")


def test_openvino_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'centernet\[openvino\]'"):
        Detector(tmp_path / "model.xml")


@pytest.mark.parametrize("suffix", FILES)
def test_the_tracker_s_settings_are_the_file_s(suffix: str, write: Callable[..., Path], model: CenterNet) -> None:
    assert Detector(write(suffix), trust="compiled" in suffix).tracker == Detector(model).tracker == model.tracker
    assert model.tracker == CONFIG["model"]["tracker"]


def test_preprocessing_is_the_file_s(write: Callable[..., Path]) -> None:
    assert Detector(write(".onnx")).runtime.preprocessing == Preprocessing((96, 128))
    inside = Detector(write(".pt", letterbox=True)).runtime.preprocessing
    assert inside.output_size((97, 131)) == (97, 131)
