"""Exported LiteRT and NCNN files as runtimes of `Detector`: one image of one size, on the processor."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.extras import require
from centernet.inference.devices import missing_device
from centernet.inference.exported import ExportedRuntime, open_session, read_metadata, thread_count, unreadable
from centernet.inference.model_metadata import INPUT, KEY


class OneImageRuntime(ExportedRuntime):
    """The base of the runtimes whose graphs take one image of one size; one thread runs at a time.

    A child defines `run_one`.
    """

    one_size = True

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, device=device, threads=threads)
        if device not in (None, "cpu"):
            raise missing_device(device, ["cpu"], f"{path.name} runs on the processor alone")
        self._lock = Lock()

    def run_one(self, inputs: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run the network on one input. Returns outputs by name, raw maps or not."""
        raise NotImplementedError

    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        expected = self.metadata.preprocessing.size
        height, width = inputs.shape[1:3] if self.metadata.layout == "NHWC" else inputs.shape[2:]
        if (height, width) != expected:
            raise ValueError(
                f"{self.path}: takes inputs of {expected[0]}×{expected[1]} pixels (height×width) alone, got "
                f"{height}×{width}; ONNX and TorchScript files take any size"
            )
        with self._lock:
            found = [self.run_one(one) for one in np.split(inputs, len(inputs))]
        return {name: np.concatenate([one[name] for one in found]) for name in self.outputs}


class LiteRtRuntime(OneImageRuntime):
    """Runs a ``.tflite`` file by LiteRT's interpreter."""

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, device=device, threads=threads)
        litert = require("ai_edge_litert.interpreter", "running a LiteRT file")
        self.metadata = read_metadata(path, _appended(path))
        try:
            self.interpreter = litert.Interpreter(str(path), num_threads=thread_count(threads) or None)
            self.interpreter.allocate_tensors()
            self.signature = self.interpreter.get_signature_runner()
        except Exception as error:
            raise unreadable(path, error, "a LiteRT model") from error

    def run_one(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        outputs = self.signature(**{INPUT: inputs})
        return {name: a.astype(np.int64) if a.dtype == np.int32 else a for name, a in outputs.items()}


class NcnnRuntime(OneImageRuntime):
    """Runs a ``.ncnn.param`` file by NCNN, and the decode beside it by onnxruntime."""

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, device=device, threads=threads)
        self._ncnn = require("ncnn", "running an NCNN file")
        _check_beside(path, weights_of(path), metadata_of(path))
        self.metadata = read_metadata(path, metadata_of(path).read_text(encoding="utf-8"))
        self.net = self._ncnn.Net()
        options = self.net.opt
        options.num_threads = thread_count(threads) or options.num_threads
        half = self.metadata.precision == "float16"
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = half
        options.use_bf16_storage = False
        if self.net.load_param(str(path)) or self.net.load_model(str(weights_of(path))):
            raise unreadable(path, ValueError("NCNN refuses it"), "an NCNN model")
        self.decode: Any = None
        if self.metadata.decoded:
            _check_beside(path, decode_of(path))
            self.decode = open_session(decode_of(path), threads=threads)

    def run_one(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        extractor = self.net.create_extractor()
        extractor.input(INPUT, self._ncnn.Mat(inputs[0]).clone())
        maps = {name: np.array(extractor.extract(name)[1])[None] for name in self.metadata.maps}
        if self.decode is None:
            return maps
        return maps | dict(zip(self.outputs, self.decode.run(self.outputs, maps), strict=True))


def _check_beside(path: Path, *others: Path) -> None:
    if lacks := [other.name for other in others if not other.is_file()]:
        raise ValueError(f"{path}: {', '.join(lacks)} is not beside it; copy all files that the export wrote")


def weights_of(path: Path) -> Path:
    """Return the path of the weights of a ``.ncnn.param`` file."""
    return path.with_suffix(".bin")


def metadata_of(path: Path) -> Path:
    """Return the path of the metadata of a ``.ncnn.param`` file."""
    return path.with_suffix(".json")


def decode_of(path: Path) -> Path:
    """Return the path of the decode of a ``.ncnn.param`` file, an ONNX graph from raw maps to detections."""
    return path.with_suffix(".onnx")


def _appended(path: Path) -> bytes | None:
    """Return the metadata from the archive behind a model; None where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{KEY}.json")
    except (KeyError, zipfile.BadZipFile):
        return None
