"""Names model files of other programs by their content. Nothing of them is run or unpickled."""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

_OPERATIONS = 300_000  # of a pickle that are looked at
_MODULES = (
    ("ultralytics", "a checkpoint of Ultralytics' YOLO"),
    ("models.yolo", "a checkpoint of YOLOv5 or YOLOv7"),
    ("models.common", "a checkpoint of YOLOv5 or YOLOv7"),
    ("yolox", "a checkpoint of YOLOX"),
    ("super_gradients", "a checkpoint of super-gradients"),
    ("mmengine", "a checkpoint of OpenMMLab"),
    ("mmcv", "a checkpoint of OpenMMLab"),
    ("mmdet", "a checkpoint of OpenMMLab"),
    ("detectron2", "a checkpoint of Detectron2"),
    ("torchvision", "a model of torchvision, pickled by torch.save"),
    ("transformers", "a model of transformers, pickled by torch.save"),
    ("timm", "a model of timm, pickled by torch.save"),
    ("keras", "a pickled model of Keras"),
    ("sklearn", "a pickled model of scikit-learn"),
)
_PLAIN = (
    "torch",
    "collections",
    "numpy",
    "_codecs",
    "builtins",
    "__builtin__",
    "copy_reg",
    "copyreg",
    "argparse",
    "omegaconf",
)
SUFFIXES = {
    ".pth": "torch.save's, of another project or training",
    ".weights": "Darknet's weights",
    ".engine": "a TensorRT engine",
    ".trt": "a TensorRT engine",
    ".plan": "a TensorRT engine",
    ".h5": "a Keras (HDF5) model",
    ".hdf5": "a Keras (HDF5) model",
    ".keras": "a Keras model",
    ".pb": "a TensorFlow graph",
    ".safetensors": "weights alone, without the network that they belong to",
    ".mlmodel": "a Core ML model",
    ".mlpackage": "a Core ML model",
    ".mlmodelc": "a Core ML model",
    ".bin": "weights alone: of an OpenVINO model the .xml is opened, with the .bin beside it",
    ".rknn": "a model for Rockchip's NPU",
    ".hef": "a model for Hailo's processors",
    ".caffemodel": "a Caffe model",
    ".pdmodel": "a PaddlePaddle model",
    ".pdiparams": "PaddlePaddle's weights",
    ".mnn": "an MNN model",
    ".pte": "an ExecuTorch program",
    ".gguf": "a GGUF model",
    ".mar": "an archive of TorchServe",
    ".npz": "arrays of NumPy",
    ".pkl": "a pickle",
}
"""Suffix of a model file of other programs → what it is, where its content does not say more."""

ADVICE = (
    "it belongs to the program that wrote it. Give a checkpoint (.ckpt) of `centernet fit`, or a file of `centernet "
    "export`"
)


def describe_foreign(path: Path) -> str | None:
    """Say what a model file of another program is; None where its content is that of its suffix, or unknown."""
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(64)
            found = _by_head(head)
            if found is not None:
                return None if found.suffix == suffix else found.text
            if head[:2] == b"PK":
                return _of_archive(path, suffix)
            if head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5":
                file.seek(0)
                return _of_pickles(file)
    except Exception:  # of a damaged file its own runtime speaks
        return None
    return SUFFIXES.get(suffix)


class _Format(NamedTuple):
    text: str
    suffix: str = ""


def _by_head(head: bytes) -> _Format | None:
    if head.startswith(b"version https://git-lfs"):
        return _Format("a pointer of Git LFS, not the file itself; `git lfs pull` fetches it")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return _Format("a page of HTML, not a model; download the file itself")
    if head.startswith(b"\x89HDF"):
        return _Format("a Keras (HDF5) model")
    if head[4:8] == b"TFL3":
        return _Format("a LiteRT (TensorFlow Lite) model", ".tflite")
    if head[4:6] == b"ET" and head[6:8].isdigit():
        return _Format("an ExecuTorch program", ".pte")
    if head[:4] in (b"ftrt", b"ptrt"):
        return _Format("a TensorRT engine")
    if head.startswith(b"GGUF"):
        return _Format("a GGUF model")
    if head.startswith(b"7767517"):
        return _Format("an NCNN model", ".param")
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 1 << 32:
        return _Format("weights alone (safetensors), without the network that they belong to")
    return None


def _of_archive(path: Path, suffix: str) -> str | None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        inner = {name.partition("/")[2] or name for name in names}
        if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
            return None if suffix == ".pt" else "a TorchScript file, whose suffix is .pt"
        if "archive_format" in inner or "archive_version" in inner:
            return None if suffix == ".pt2" else "a .pt2 archive of torch.export"
        if "data.pkl" in inner:
            with archive.open(next(name for name in names if name.endswith("data.pkl"))) as file:
                return _of_pickles(io.BytesIO(file.read()), ours=suffix == ".ckpt")
        if "model.weights.h5" in names:
            return "a Keras model"
        if names and all(name.endswith(".npy") for name in names):
            return "arrays of NumPy"
    return "a ZIP archive; unpack it, if the model is inside"


def _of_pickles(file: BinaryIO, *, ours: bool = False) -> str | None:
    """Say what torch.save, or pickle, put into a file, by the names that the pickle would import."""
    modules, words = set[str](), set[str]()
    for kind, text in _names(file):
        (modules if kind == "module" else words).add(text)
    if ours and "state_dict" in words:  # whether it is one of a CenterNet says who reads it
        return None
    for prefix, text in _MODULES:
        if any(module == prefix or module.startswith(f"{prefix}.") for module in modules):
            return text
    if "pytorch-lightning_version" in words:
        return "a checkpoint of Lightning; if `centernet fit` wrote it, its suffix is to be .ckpt"
    others = sorted({module.partition(".")[0] for module in modules} - set(_PLAIN))
    if others:
        return f"an object of the package {others[0]}, pickled by torch.save"
    return "weights or a checkpoint that torch.save wrote in another training, without a network that runs by itself"


def _names(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield the modules that pickles one behind the other would import, and the words in them, without importing."""
    recent: list[str] = []
    left = _OPERATIONS
    while left > 0:
        try:
            for code, argument, _ in islice(pickletools.genops(file), left):
                left -= 1
                if code.name == "GLOBAL":
                    yield "module", str(argument).split(" ")[0]
                elif code.name == "STACK_GLOBAL" and len(recent) > 1:
                    yield "module", recent[-2]
                elif isinstance(argument, str):
                    recent = [*recent[-1:], argument]
                    yield "word", argument
        except Exception:  # behind the last pickle of torch's older form come the bare tensors
            return
