"""Exported ONNX and OpenVINO files as runtimes of `Detector`: neither torch nor a configuration is needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.extras import require
from centernet.images import Preprocessing
from centernet.inference.devices import device_name, missing_device
from centernet.inference.inspection import check_onnx
from centernet.inference.model_metadata import INPUT, KEY, ModelMetadata

PRECISIONS = {"float32": "f32", "float16": "f32", "bfloat16": "bf16", "int8": "f32"}
"""Precision of an OpenVINO file → the one that its parts in floating point compute in. Left to itself, OpenVINO takes
bfloat16 where the processor has it, and then the boxes are not those that were evaluated."""


class ExportedRuntime:
    """The base of the runtimes of exported files, which state what the `metadata` of the file do.

    A child opens the file, sets `metadata`, and defines `run`.

    Args:
        path: of the file.
        device: where to run, as the runtime names it; None for its default.
        threads: of the network; None for OMP_NUM_THREADS, else the runtime's choice.

    Raises:
        ImportError: the package of the runtime isn't installed.
        ValueError: the file is damaged or another program's, or the device isn't there.
    """

    metadata: ModelMetadata
    one_size = False  # True where all inputs have that of the preprocessing
    class_names, columns, num_detections = (
        property(attrgetter(f"metadata.{name}")) for name in ("class_names", "columns", "num_detections")
    )
    tracker, calibration, score_threshold, lineage = (
        property(attrgetter(f"metadata.{name}")) for name in ("tracker", "calibration", "score_threshold", "lineage")
    )
    most_detections = num_detections

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        self.path, self.device, self.threads = path, device, threads

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the file again, in the process that takes the runtime over."""
        return partial(type(self), device=self.device, threads=self.threads), (self.path.absolute(),)

    def run(self, inputs: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run the network on inputs of the file's dtype and layout. Returns outputs by name, raw maps or not."""
        raise NotImplementedError

    def __call__(self, images: NDArray[np.uint8], num_detections: int) -> dict[str, NDArray[Any]]:
        """Return the detections of uint8 N×H×W×3 inputs, the best `num_detections` rows (the file may hold fewer)."""
        outputs = self.run(network_input(images, self.metadata))
        return {name: outputs[name][:, :num_detections] for name in self.outputs}

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the outputs that are no raw maps; these, where there are no others."""
        metadata = self.metadata
        return [name for name in metadata.outputs if name not in metadata.maps or not metadata.decoded]

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """The way from an image to the input."""
        return preprocessing_of(self.metadata)


class OnnxRuntime(ExportedRuntime):
    """Runs an ONNX file by onnxruntime, on "cpu" (the default), or "cuda" ("cuda:1") with onnxruntime-gpu."""

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, device=device, threads=threads)
        self.session = open_session(path, device=device, threads=threads)
        self.metadata = read_metadata(path, self.session.get_modelmeta().custom_metadata_map.get(KEY))
        inputs, names = ([put.name for put in ports()] for ports in (self.session.get_inputs, self.session.get_outputs))
        if inputs != [INPUT] or not set(self.metadata.outputs) <= set(names):
            found = f"the inputs {', '.join(inputs)} and outputs {', '.join(names)}"
            expected = f"{INPUT} and {', '.join(self.metadata.outputs)} as its metadata says"
            raise ValueError(f"{path}: has {found}, not {expected}; export the model again")

    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.outputs, self.session.run(self.outputs, {INPUT: inputs}), strict=True))


class OpenVinoRuntime(ExportedRuntime):
    """Runs an ``.xml`` file, with the ``.bin`` file beside it, on a device as OpenVINO names it ("cpu", "gpu").

    A request of OpenVINO holds the outputs of one call: each call takes one that no other has.
    """

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        super().__init__(path, device=device, threads=threads)
        openvino = require("openvino", "running an OpenVINO file")
        if not path.with_suffix(".bin").is_file():
            raise ValueError(f"{path}: its weights {path.with_suffix('.bin').name} are not beside it; copy both files")
        with path.open("rb") as file:
            if not file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):  # other formats may name other files
                raise unreadable(path, ValueError("it does not begin as XML"), "an OpenVINO model")
        core = openvino.Core()
        try:
            model = core.read_model(path)
        except Exception as error:
            raise unreadable(path, error, "an OpenVINO model") from error
        self.metadata = read_metadata(path, model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None)
        self.one_size = self.preprocessing.one_size
        if self.one_size:  # such a graph runs faster than one of any size
            size_hw = self.preprocessing.size
            model.reshape([1, *size_hw, 3] if self.metadata.layout == "NHWC" else [1, 3, *size_hw])
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        options["INFERENCE_PRECISION_HINT"] = PRECISIONS[self.metadata.precision]
        if thread_count(threads):
            options["INFERENCE_NUM_THREADS"] = thread_count(threads)
        name = (device_name(device) or "cpu").upper().removeprefix("INTEL:").replace("CUDA:", "GPU.")
        try:
            self.compiled = core.compile_model(model, name, options)
        except Exception as error:
            why = f"OpenVINO cannot run {path} on it ({str(error).strip().splitlines()[-1]})"
            raise missing_device(device, [known.lower() for known in core.available_devices], why) from error
        self._free: deque[Any] = deque()  # requests; threads may pop and append at the same time

    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        results = []
        try:
            request = self._free.pop()
        except IndexError:
            request = self.compiled.create_infer_request()
        for batch in np.split(inputs, len(inputs)) if self.one_size else [inputs]:
            outputs = request.infer([batch])
            results.append([np.array(outputs[name]) for name in self.outputs])
        self._free.append(request)  # after an error it is not used again
        return dict(zip(self.outputs, map(np.concatenate, zip(*results, strict=True)), strict=True))


def open_session(path: Path, *, device: str | None = None, threads: int | None = None) -> Any:
    """Open any ONNX file as an `onnxruntime.InferenceSession`. Arguments as of `OnnxRuntime`."""
    onnxruntime = require("onnxruntime", "running an ONNX file")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = thread_count(threads)
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3  # errors only: a file's odd but harmless parts are not the user's concern
    # Threads that have nothing to do sleep, and leave the cores to the reading of the next images.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Processors without VNNI would cut off sums of 8-bit products, and find other objects by an int8 file.
    settings.add_session_config_entry("session.x64quantprecision", "1")
    providers = _providers(device, onnxruntime.get_available_providers())
    check_onnx(path)
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # its exceptions have no common base but this
        if len(providers) > 1 and "CUDA" in str(error):
            raise missing_device(device, ["cpu"], "onnxruntime cannot use it here") from error
        raise unreadable(path, error, "an ONNX file") from error
    if len(providers) > 1 and "CUDAExecutionProvider" not in session.get_providers():  # it falls back in silence
        raise missing_device(device, ["cpu"], "onnxruntime cannot use it here: no such GPU, or its CUDA libraries lack")
    return session


def _providers(device: str | None, available: list[str]) -> list[Any]:
    """Return onnxruntime's names for a device."""
    name, _, number = (device_name(device) or "cpu").lower().partition(":")
    there = ["cpu", *["cuda"] * ("CUDAExecutionProvider" in available)]
    if name == "cpu":
        return ["CPUExecutionProvider"]
    if name not in ("cuda", "gpu") or (number and not number.isdecimal()):
        raise missing_device(device, there, "expected 'cpu', 'cuda' or 'cuda:1' for an ONNX file")
    if "cuda" not in there:
        text = f"this onnxruntime runs on {', '.join(available)} only (pip install onnxruntime-gpu in its place)"
        raise missing_device(device, there, text)
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]


def preprocessing_of(metadata: ModelMetadata) -> Preprocessing:
    """Return how `Detector` makes the input: as metadata says, or not at all where the graph resizes and pads."""
    return replace(metadata.preprocessing, resize="keep", divisor=1) if metadata.letterbox else metadata.preprocessing


def network_input(images: NDArray[np.uint8], metadata: ModelMetadata) -> NDArray[Any]:
    """Return uint8 N×H×W×3 RGB in the dtype and layout that the file's input has."""
    if metadata.dtype == "float32":
        normalized = metadata.preprocessing.normalize(images)
        return normalized if metadata.layout == "NCHW" else np.ascontiguousarray(normalized.transpose(0, 2, 3, 1))
    return images if metadata.layout == "NHWC" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def thread_count(threads: int | None) -> int:
    """Return the threads that a network may use: as given, else OMP_NUM_THREADS, else 0 for the runtime's choice."""
    text = os.environ.get("OMP_NUM_THREADS", "") if threads is None else str(threads)
    return int(text) if text.isdigit() else 0


def read_metadata(path: Path, text: str | bytes | None) -> ModelMetadata:
    """Read the metadata of a file from the text under its key; a ValueError where an export wrote nothing there."""
    if not text:
        raise ValueError(
            f"{path}: the file does not say how images become its input and what its outputs are, as those that "
            "`centernet export` writes do; another program wrote it. Export the model anew"
        )
    return ModelMetadata.from_json(text if isinstance(text, str) else text.decode(errors="replace"), source=str(path))


def unreadable(
    path: Path, error: BaseException, kind: str, hint: str = "is the file whole, and of this kind?"
) -> ValueError:
    """Return the error for a file that its runtime cannot open."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Exception from "):  # OpenVINO begins with places in its own sources
        lines = lines[-1:]
    reason = lines[0][:300] if lines else type(error).__name__
    return ValueError(f"{path}: cannot be opened as {kind} ({reason}); {hint}")
