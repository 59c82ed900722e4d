"""Opens a model by its file, folder or name as the runtime that runs it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from centernet.archives import check_archive
from centernet.configuration import PACKAGED
from centernet.images import Preprocessing
from centernet.inference.devices import device_name
from centernet.inference.foreign import ADVICE, SUFFIXES, describe_foreign
from centernet.packaged import check_packaged
from centernet.trust import Trust

RUNTIMES = {
    ".onnx": ("exported", "OnnxRuntime", "ONNX"),
    ".xml": ("exported", "OpenVinoRuntime", "OpenVINO"),
    ".pt2": ("exported_torch_runtime", "ExportedTorchRuntime", "torch.export, or compiled by AOTInductor"),
    ".pt": ("exported_torch_runtime", "ExportedTorchRuntime", "TorchScript"),
    ".tflite": ("mobile", "LiteRtRuntime", "LiteRT"),
    ".param": ("mobile", "NcnnRuntime", "NCNN"),
    ".ckpt": ("torch_runtime", "load_model", "a checkpoint of `centernet fit`"),
}
"""Suffix of a model file → the module of this room that is imported for it, the name there, and its format."""

_CAN_RUN_CODE = (".pt2", ".pt", ".ckpt")

GRAPH = "model.onnx"
"""The file in the folder of a packaged model that is opened where torch isn't installed."""


class Runtime(Protocol):
    """Anything that runs a network: a batch of inputs in, boxes in input pixels out.

    It may state more: `columns`, the `Column`s that it adds to boxes, labels and scores; `num_detections`, the objects
    an image that suit the model, and `most_detections`, where it cannot give more; `takes_labels`, true where calls
    take the keyword `labels`, those of the classes to find, others of which take no rows; `tracker`, see `Detector`;
    `calibration`, the `Calibration` that its scores went through; `score_threshold`, the default of `Detector`; and
    `lineage`, the `Lineage` of its weights.

    Calls come from several threads at once where those of its `Detector` do.
    """

    @property
    def preprocessing(self) -> Preprocessing:
        """The way from an image to the network's input."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label; empty where none are known."""

    def __call__(self, images: NDArray[np.uint8], num_detections: int) -> Mapping[str, NDArray[Any]]:
        """Return `bboxes` N×K×4 in input pixels, `labels` N×K, `scores` N×K, best first, of uint8 N×H×W×3 RGB inputs.

        K is `num_detections`, or less where the network has no more to give. Columns N×K×… may be added; those that
        `columns` leaves out count as vectors.
        """


def open_runtime(model: Any, *, device: Any = None, threads: int | None = None, trust: Trust = False) -> Runtime:
    """Open a model as a runtime; only what that one needs is imported.

    Args:
        model: a `CenterNet`, the path of a model file (`RUNTIMES`), a folder that `save_pretrained` wrote, the name of
            a model that comes with the package, the id of one on the Hugging Face Hub (``user/model``), or a `Runtime`,
            which is returned as it is.
        device: where to run: a name ("cpu", "cuda:0", "mps", or as the runtime has it), the number of a GPU or a
            `torch.device`; None for its default.
        threads: of the network; None for OMP_NUM_THREADS or the runtime's default.
        trust: run what a file brings: machine code (a compiled ``.pt2``), operations of other libraries, and the
            modules of classes that it names; or the class paths that it may name.

    Raises:
        FileNotFoundError, ValueError, TypeError: no such file or name; a file that cannot be opened, with why, and what
            can; a device that is not there, with those that are; something else.
        ImportError: a package is missing; the message names the extra that brings it.
    """
    device = device_name(device)
    if isinstance(model, (str, os.PathLike)):
        runtime = open_file(model, device=device, threads=threads, trust=trust)
        if not getattr(getattr(runtime, "metadata", None), "decoded", True):
            text = "has the raw maps alone, for programs that decode themselves; export it without --raw-maps only"
            raise ValueError(f"{model}: {text} to find objects with it here")
        return runtime
    if hasattr(model, "decode_detections"):
        from centernet.inference.torch_runtime import TorchRuntime

        return TorchRuntime(getattr(model, "network", model), device=device, threads=threads)
    if callable(model) and hasattr(model, "preprocessing") and hasattr(model, "class_names"):
        given: Runtime = model
        return given
    expected = f"a CenterNet, the path of a model file ({', '.join(RUNTIMES)}) or a runtime"
    raise TypeError(f"expected {expected}, got {type(model).__name__}")


def open_file(
    model: str | os.PathLike[str], *, device: Any = None, threads: int | None = None, trust: Trust = False
) -> Runtime:
    """Open a model by its file, folder or name, as `open_runtime` does; also a file without a decode."""
    path = Path(model)
    suffix = path.suffix.lower()
    graph = PACKAGED / path.name / GRAPH
    if str(path) == path.name and graph.is_file() and find_spec("torch") is None:
        path, suffix = graph, graph.suffix
        check_packaged(graph)
    if suffix == ".mlpackage":
        text = "Core ML models run on Apple's systems, by Xcode's classes or coremltools"
        raise ValueError(f"{path}: {text}; to find objects with it here, export another format")
    if path.is_dir() or not suffix:  # a folder, or the name of a model that comes with the package
        from centernet.inference.torch_runtime import load_model

        return load_model(model, device=device, threads=threads, trust=trust)
    if path.is_file() and zipfile.is_zipfile(path):
        check_archive(path)
    if path.is_file() and (foreign := describe_foreign(path)) is not None:
        raise ValueError(f"{path}: is {foreign}" + f"; {ADVICE}" * (";" not in foreign))
    if suffix not in RUNTIMES:
        expected = ", ".join(f"{name} ({of})" for name, (_, _, of) in RUNTIMES.items())
        what = f"cannot open {SUFFIXES[suffix]}" if suffix in SUFFIXES else "cannot open a model file"
        raise ValueError(f"{path}: {what} with the suffix {suffix!r}; expected one of {expected}")
    if not path.is_file():
        fit, export = "`centernet fit` prints where it wrote its checkpoints", "`centernet export` writes one"
        raise FileNotFoundError(f"{path}: no such model file; {fit if suffix == '.ckpt' else export}")
    module, name, _ = RUNTIMES[suffix]
    open_file = getattr(import_module(f"centernet.inference.{module}"), name)
    options = {"trust": trust} if suffix in _CAN_RUN_CODE else {}
    runtime: Runtime = open_file(path, device=device, threads=threads, **options)
    return runtime
