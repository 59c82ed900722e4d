"""Model files of other programs are named as what they are, by their content; nothing of them is unpickled."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from centernet.inference import Detector
from centernet.inference.foreign import describe_foreign


def pickled(monkeypatch: pytest.MonkeyPatch, module: str, *, zipped: bool = True, protocol: int = 2) -> bytes:
    """What torch.save would write of a whole model of another project's class."""
    parts = module.split(".")
    for i in range(len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[: i + 1]), ModuleType(parts[i]))
    kind = type("DetectionModel", (), {"__module__": module, "__reduce__": lambda self: (kind, ())})
    setattr(sys.modules[module], "DetectionModel", kind)  # noqa: B010
    data = pickle.dumps({"epoch": -1, "model": kind()}, protocol=protocol)
    if not zipped:  # torch's older form: several pickles, then bare tensors
        return (
            b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {})) + data + b"\0\xff\7"
        )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("best/data.pkl", data)
        archive.writestr("best/version", "3\n")
    return file.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("ultralytics.nn.tasks", "a checkpoint of Ultralytics' YOLO"),
        ("models.yolo", "a checkpoint of YOLOv5 or YOLOv7"),
        ("mmengine.logging", "a checkpoint of OpenMMLab"),
        ("somebody.networks", "an object of the package somebody"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_checkpoints_of_other_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, says: str, zipped: bool, protocol: int
) -> None:
    path = tmp_path / "best.pt"
    path.write_bytes(pickled(monkeypatch, module, zipped=zipped, protocol=protocol))
    for name in module.split("."):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ValueError, match=rf"best\.pt: is {says}.*belongs to the program that wrote it.*\.ckpt"):
        Detector(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit('unpickled')",)

    (tmp_path / "a.pt").write_bytes(pickle.dumps({"model": Trap()}))
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("b/data.pkl", pickle.dumps(Trap()))
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"torch\.save wrote"):
            Detector(path)


def test_weights_and_checkpoints_of_torch_save(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for name, content, says in (
        ("state.pt", OrderedDict(weight=torch.zeros(2)), "weights or a checkpoint that torch.save wrote"),
        ("plain.pt", {"model": {}, "epoch": 1}, "weights or a checkpoint that torch.save wrote"),
        ("resnet.pth", {"state_dict": {"a": torch.zeros(1)}}, "weights or a checkpoint that torch.save wrote"),
        ("lightning.pt", {"pytorch-lightning_version": "2", "state_dict": {}}, r"its suffix is to be \.ckpt"),
        ("whole.pt", torch.nn.Linear(2, 2), "weights or a checkpoint"),
    ):
        for old in (False, True):
            torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not old)
            with pytest.raises(ValueError, match=rf"{name}: is .*{says}"):
                Detector(tmp_path / name)


TENSORS = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
OTHERS: dict[str, tuple[bytes, str]] = {
    "model.pt": (len(TENSORS).to_bytes(8, "little") + TENSORS + bytes(4), r"weights alone \(safetensors\)"),
    "model.safetensors": (len(TENSORS).to_bytes(8, "little") + TENSORS + bytes(4), "weights alone"),
    "yolo.weights": (b"\0\0\0\0\2\0\0\0\5\0\0\0" + bytes(100), "Darknet's weights"),
    "model.engine": (b"ftrt" + bytes(60), "a TensorRT engine"),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "a Keras"),
    "model.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "best.ckpt": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a page of HTML"),
    "frozen.pb": (b"\x0a\x10" + bytes(60), "a TensorFlow graph"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_of_files(tmp_path: Path, name: str) -> None:
    data, says = OTHERS[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}: .*{says}"):
        Detector(tmp_path / name)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_files_of_ours_and_damaged_ones_are_not_called_foreign(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    writers: dict[str, Callable[[Path], Any]] = {
        "script.pt": lambda path: torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), str(path)),
        "ours.ckpt": lambda path: torch.save({"pytorch-lightning_version": "2", "state_dict": {}}, path),
        "stripped.ckpt": lambda path: torch.save({"state_dict": {}, "hyper_parameters": {}}, path),
        "cut.pt": lambda path: path.write_bytes(b"PK\3\4" + bytes(50)),
        "model.xml": lambda path: path.write_bytes(b'<?xml version="1.0"?><net/>'),
    }
    for name, write in writers.items():
        write(tmp_path / name)
        assert describe_foreign(tmp_path / name) is None, name
