"""What the code of commit 087a334 wrote opens, and finds what it found then.

The files under `data` and the outputs in `data/expected.npz` were made by `make.py` at that commit. Weights of real
size are not stored: a checkpoint of each file in `configs` is stored without its tensors, which `tensors` makes from
their names and shapes.
"""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from centernet import CenterNet, Detector, build_centernet
from centernet.cli.main import main

DATA = Path(__file__).parent / "data"
WRITTEN_BY = "2.14.1"
"""The release of torch that wrote `detector.pt2`."""
INT8 = 2000.0
"""The int8 file's scores may differ by 0.02, and its boxes by 0.02 of the picture's side."""
TOP = 20
"""Detections of a picture that are compared; embeddings of the first five."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed.*"),
]

# ------------------------------------------------------------------ pictures, in whole numbers alone


def pictures() -> list[NDArray[np.uint8]]:
    """Two pictures, 96×128 and 90×140: slopes, discs and fine detail."""
    made = []
    for k, (height, width) in enumerate([(96, 128), (90, 140)]):
        y, x = np.mgrid[:height, :width]
        channels = []
        for c in range(3):
            slope = np.abs((x * (3 + c) + y * (5 - c) * (k + 1)) % 256 - 128)
            detail = (x * x * (7 + 2 * c) + y * y * (13 + k) + 3 * x * y) % 47
            channels.append(40 + slope + detail)
        picture = np.stack(channels, axis=-1)
        for i in range(9):
            row, column = (37 * i + 11 + 5 * k) % height, (53 * i + 19 * k + 8) % width
            inside = (y - row) ** 2 + (x - column) ** 2 * (1 + i % 3) < (5 + 2 * i) ** 2
            colour = np.array([(91 * i + 30) % 256, (157 * i + 80 * k) % 256, (33 * i + 200) % 256])
            picture[inside] = (picture[inside] + 3 * colour) // 4
        made.append(np.clip(picture, 0, 255).astype(np.uint8))
    return made


def street() -> NDArray[np.uint8]:
    """A drawn street of 240×320 with two cars, a person and a bottle, for a network that has seen photographs."""
    y, x = np.mgrid[:240, :320]
    picture = np.stack([120 + y // 3, 160 + y // 4, 230 - y // 8], axis=-1)
    road = y > 130
    picture[road] = np.stack([90 + (x * 7 + y * 11) % 17] * 3, axis=-1)[road]

    def paint(mask: NDArray[np.bool_], *colour: int) -> None:
        shade = ((x * 5 + y * 3) % 23 - 11)[..., None]
        picture[mask] = (np.array(colour) + shade)[mask]

    def box(x1: int, y1: int, x2: int, y2: int) -> NDArray[np.bool_]:
        return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)

    def ellipse(cx: int, cy: int, rx: int, ry: int) -> NDArray[np.bool_]:
        return (x - cx) ** 2 * ry**2 + (y - cy) ** 2 * rx**2 < (rx * ry) ** 2

    for left, top, colour in ((30, 120, (170, 30, 35)), (190, 105, (40, 60, 150))):
        paint(ellipse(left + 50, top + 14, 34, 22), *colour)
        paint(ellipse(left + 50, top + 13, 29, 16) & (np.abs(x - left - 50) > 2), 150, 190, 210)
        paint(box(left, top + 15, left + 102, top + 42), *colour)
        for wheel in (left + 22, left + 80):
            paint(ellipse(wheel, top + 42, 12, 12), 25, 25, 28)
            paint(ellipse(wheel, top + 42, 6, 6), 150, 150, 155)
        paint(box(left + 96, top + 20, left + 102, top + 26), 250, 240, 170)
    paint(ellipse(152, 92, 8, 10), 210, 165, 140)
    paint(box(140, 102, 165, 150), 50, 110, 70)
    paint(box(142, 150, 151, 200), 45, 45, 70)
    paint(box(154, 150, 163, 200), 45, 45, 70)
    paint(ellipse(270, 205, 11, 30), 20, 90, 40)
    paint(box(266, 165, 275, 185), 20, 80, 40)
    return np.clip(picture, 0, 255).astype(np.uint8)


# ------------------------------------------------------------------ checkpoints of the configurations


def configurations() -> dict[str, Any]:
    """Name of a configuration → what its checkpoint holds besides tensors; see `make.py`."""
    content: dict[str, Any] = json.loads(lzma.decompress((DATA / "configurations.json.xz").read_bytes()))
    return content


def tensor(key: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """The values of a tensor, from its name and shape: networks of any depth give finite and varied maps by it."""
    count = int(np.prod(shape))
    values = np.random.RandomState(zlib.crc32(f"{seed} {key}".encode())).random_sample(count).reshape(shape)  # 0..1
    if key.endswith("running_var"):
        values = 0.5 + values
    elif len(shape) >= 2:
        transposed = shape[2:] == (4, 4)  # the deconvolutions of necks: four taps of each input reach an output
        inputs = shape[0] * 4 if transposed else int(np.prod(shape[1:]))
        values = (values - 0.5) * np.sqrt(12 / inputs)  # a larger gain would make rounding errors grow
    elif key.endswith(("weight", "weights.0", "weights")):
        values = 0.8 + 0.4 * values
    elif "log_variances" in key:
        values = -2 + values
    else:  # biases and means
        values = 0.2 * (values - 0.5)
    return np.asarray(values, np.float32)


def tensors(stored: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The state of a stored checkpoint.

    Args:
        stored: `tensors`: name → shape, and type where it is not float32; `seed`; `last`: prefix of the last layer of a
            head → a factor, and what is added to each channel, which keep scores and boxes in a sensible range.
    """
    state = {}
    for key, (shape, kind) in stored["tensors"].items():
        if kind != "float32":
            state[key] = torch.full(shape, 7, dtype=getattr(torch, kind))
            continue
        values = tensor(key, tuple(shape), stored["seed"])
        layer, _, part = key.rpartition(".")
        if layer in stored["last"]:
            factor, shifts = stored["last"][layer]
            values = values * np.float32(factor)
            if part == "bias":
                values = values + np.array(shifts, np.float32)
        state[key] = torch.from_numpy(values)
    return state


def checkpoint(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What Lightning wrote, with other tensors and without the optimiser's; scalar tensors of callbacks are numbers."""
    state = tensors(stored)
    current = {"current_model_state": state} if "averaging_state" in stored["content"] else {}  # beside averages
    return {**stored["content"], "state_dict": state, **current, "optimizer_states": []}


# ------------------------------------------------------------------ outputs


@torch.inference_mode()
def by_hand(model: CenterNet, picture: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The network on a picture as it is: boxes are in its pixels."""
    mean, std = (np.array(values, np.float32) for values in (model.preprocessing.mean, model.preprocessing.std))
    images = ((picture.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
    found = model.decode_detections(model(torch.from_numpy(np.ascontiguousarray(images))), TOP)
    return {key: value[0].numpy() for key, value in found.items()}


def opened(source: Any) -> Detector:
    """A detector that leaves nothing out but what comes after the best."""
    return Detector(source, score_threshold=0.0, num_detections=TOP, threads=1)


def by_detector(detector: Detector, picture: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """What it finds in a picture, in the picture's pixels."""
    found = detector(picture)
    arrays = {"bboxes": found.bboxes, "labels": found.labels, "scores": found.scores}
    return arrays if found.embeddings is None else {**arrays, "embeddings": found.embeddings}


def rows(found: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """One row a detection: box, label and score. Those that were suppressed have the score 0, in no order."""
    table = np.concatenate([found["bboxes"], found["labels"][:, None], found["scores"][:, None]], axis=1)
    return table[:TOP][found["scores"][:TOP] > 1e-3].astype(np.float32)


def embeddings(found: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    """Those that are stored."""
    return found["embeddings"][:5].astype(np.float32) if "embeddings" in found else None


Same = Callable[..., None]


@pytest.fixture(scope="module")
def same() -> Iterator[Same]:
    """Compares what was found with what is stored under a name.

    Scores and embeddings may differ by 1e-5, and corners by 1e-5 of the larger of `side`, the picture's longest side in
    pixels, and the coordinate itself; all times `factor`.
    """
    with np.load(DATA / "expected.npz") as expected:

        def compare(name: str, found: Mapping[str, NDArray[Any]], *, side: int = 140, factor: float = 1.0) -> None:
            wanted, got = expected[name], rows(found)
            assert got.shape == wanted.shape, f"{name}: {len(got)} detections, expected {len(wanted)}"
            score = factor * 1e-5
            left = list(range(len(got)))
            vectors = embeddings(found)
            assert (vectors is not None) == (f"{name} embeddings" in expected)
            for place, row in enumerate(wanted):  # two scores that are equal but for rounding may change places
                box = factor * 1e-5 * np.maximum(side, np.abs(row[:4]))
                fits = [
                    i
                    for i in left
                    if abs(got[i, 5] - row[5]) <= score
                    and got[i, 4] == row[4]
                    and (np.abs(got[i, :4] - row[:4]) <= box).all()
                ]
                if not fits and len(got) == TOP and row[5] <= got[:, 5].min() + score:
                    continue  # at the end of the list rounding decides what is still in it
                assert fits, f"{name}: number {place} is {got[place]}, expected {row}"
                left.remove(fits[0])
                if vectors is not None and place < len(vectors) and fits[0] < len(vectors):
                    stored = expected[f"{name} embeddings"][place]
                    np.testing.assert_allclose(vectors[fits[0]], stored, rtol=0, atol=score, err_msg=name)

        yield compare


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `data` with its files unpacked."""
    folder = tmp_path_factory.mktemp("legacy")
    for path in DATA.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(DATA)
            target.parent.mkdir(parents=True, exist_ok=True)
            packed = path.suffix == ".xz"
            content = path.read_bytes()
            (target.with_suffix("") if packed else target).write_bytes(lzma.decompress(content) if packed else content)
    return folder


# ------------------------------------------------------------------ tests


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return configurations()


CONFIGURATIONS = [
    "bccd_mobilenet_v2",
    "bccd_resnet18_scratch",
    "coco_mobilenet_v2",
    "coco_resnet18",
    "coco_resnet18_fpn",
    "coco_resnet18_original",
    "coco_resnet34",
    "coco_resnet34_fpn",
    "coco_resnet50",
    "coco_resnet50_fpn",
    "coco_tracking_mobilenet_v2",
    "crowdhuman_tracking",
    "finetune",
    "helmet_mobilenet_v2",
    "kitti_tracking",
    "mot17_fairmot_resnet34",
    "synthetic",
    "synthetic_tracking",
    "tud_tracking_lite",
    "voc_lite",
    "voc_mobilenet_v2",
    "voc_resnet18",
]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_checkpoint_of_each_configuration_opens(
    name: str, stored: dict[str, Any], same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "last.ckpt"
    torch.save(checkpoint(stored[name]), file)
    model = CenterNet.load_from_checkpoint(file)
    file.unlink()  # up to 150 MB
    for i, picture in enumerate(pictures()):
        same(f"{name} by hand {i}", by_hand(model, picture))
    same(f"{name} by detector", by_detector(opened(model), pictures()[1]))


def test_all_stored_configurations_are_opened(stored: dict[str, Any]) -> None:
    assert sorted(stored) == CONFIGURATIONS


@pytest.mark.parametrize("kind", ["detector", "tracker"])
@pytest.mark.parametrize("source", ["last.ckpt", "pretrained"])
def test_small_models_open(kind: str, source: str, files: Path, same: Same) -> None:
    path = files / kind / source
    model = CenterNet.load_from_checkpoint(path) if source == "last.ckpt" else CenterNet.from_pretrained(path)
    for detector in (opened(model), opened(path)):
        for i, picture in enumerate(pictures()):
            same(f"{kind}/{source} {i}", by_detector(detector, picture))


@pytest.mark.parametrize("kind", ["detector", "tracker"])
def test_training_goes_on_from_a_checkpoint(kind: str, files: Path, tmp_path: Path) -> None:
    before = files / kind / "last.ckpt"
    config = files / kind / "config.yaml"
    arguments = ["--ckpt_path", str(before), "--output", str(tmp_path), "--trainer.max_epochs", "2"]
    assert main(["fit", "--config", str(config), *arguments]) == 0
    (after,) = tmp_path.rglob("last.ckpt")
    steps = [torch.load(path, weights_only=True)["global_step"] for path in (before, after)]
    assert steps == [2, 4]


@pytest.mark.parametrize("file", ["detector.onnx", "letterbox.onnx", "tracker.onnx", "detector.pt"])
def test_exported_files_open(file: str, files: Path, same: Same) -> None:
    if file.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
    detector = opened(files / "exports" / file)
    for i, picture in enumerate(pictures()):
        same(f"exports/{file} {i}", by_detector(detector, picture))


def test_int8_file_opens(files: Path, same: Same) -> None:
    """Also on a processor without VNNI, whose sums of 8-bit products are cut off unless onnxruntime is told not to."""
    pytest.importorskip("onnxruntime")
    detector = opened(files / "exports" / "int8.onnx")
    for i, picture in enumerate(pictures()):
        same(f"exports/int8.onnx {i}", by_detector(detector, picture), factor=INT8)


def test_openvino_file_opens(files: Path, same: Same) -> None:
    pytest.importorskip("openvino")
    detector = opened(files / "exports" / "detector.xml")
    for i, picture in enumerate(pictures()):
        same(f"exports/detector.xml {i}", by_detector(detector, picture))


def test_torch_export_file_opens(files: Path, same: Same) -> None:
    path = files / "exports" / "detector.pt2"
    try:
        detector = opened(path)
    except (ValueError, RuntimeError) as error:
        if torch.__version__.split("+")[0] == WRITTEN_BY:
            raise
        pytest.skip(f"torch {WRITTEN_BY} wrote it, and torch {torch.__version__} does not read it: {error}")
    assert detector.class_names == tuple("abcdef")
    for i, picture in enumerate(pictures()):
        same(f"exports/detector.pt2 {i}", by_detector(detector, picture))


def test_full_class_paths_build_a_model() -> None:
    model = build_centernet(DATA / "user.yaml")
    assert model.class_names == ("person", "car")
    assert list(model.heads) == ["heatmap", "box", "embedding"]


@pytest.mark.parametrize("config", ["user.yaml", "detector/config.yaml", "tracker/config.yaml"])
def test_full_class_paths_are_read_by_fit(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", str(DATA / config), "--print_config"]) == 0
    assert "heatmap:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "parts",
    [
        {
            "model.backbone": "centernet.models.backbones.MobileNetV2",
            "model.neck": "centernet.models.necks.LiteFPN",
            "model.heads.box": "centernet.models.heads.SizeOffsetHead",
            "data.augmentation": "centernet.data.Augment",
            "data.sampling": "centernet.data.ClassAware",
        },
        {
            "model.backbone": "centernet.models.backbones.MobileNetV3",
            "model.neck": "centernet.models.necks.SimpleNeck",
            "data.augmentation": "centernet.data.Resize",
            "data.sampling": "centernet.data.Sampling",
        },
        {
            "model.backbone": ("centernet.models.backbones.Timm", {"name": "tf_efficientnet_lite0"}),
            "data.augmentation": ("centernet.data.TorchvisionV2", {"transforms": [{"class_path": "RandomGrayscale"}]}),
            "data.val": ("centernet.data.SyntheticSequences", {"num_sequences": 1}),
        },
        {
            "data.augmentation": ("centernet.data.Albumentations", {"transforms": [{"class_path": "Blur"}]}),
            "data.val": ("centernet.data.COCO", {"annotations": "data/val.json"}),
        },
    ],
)
def test_other_full_class_paths_are_read_by_fit(
    parts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load((DATA / "user.yaml").read_text(encoding="utf-8"))
    names = []
    for key, part in parts.items():
        path, arguments = part if isinstance(part, tuple) else (part, {})
        *sections, last = key.split(".")
        node = content
        for section in sections:
            node = node[section]
        node[last] = {"class_path": path, "init_args": arguments}
        names.append(path.rpartition(".")[2])
    file = tmp_path / "user.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["fit", "--config", str(file), "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in names if f".{name}\n" not in printed] == []


@pytest.mark.parametrize("way", ["by hand", "by detector"])
def test_the_model_of_the_package_finds_the_same(way: str, same: Same) -> None:
    model, detector = CenterNet.from_pretrained("voc-lite"), opened("voc-lite")
    model.network.calibration = detector.runtime.model.calibration = None  # it came later
    for i, picture in enumerate([*pictures(), street()]):
        found = by_hand(model, picture) if way == "by hand" else by_detector(detector, picture)
        same(f"voc-lite {way} {i}", found, side=320)
