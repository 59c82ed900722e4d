"""An exported ONNX file as a runtime of `Detector`, by onnxruntime: neither torch nor a configuration is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from centernet.extras import require
from centernet.inference.exported import ExportedRuntime, read_metadata, thread_count, unreadable
from centernet.inference.model_metadata import INPUT, KEY

if TYPE_CHECKING:
    from numpy.typing import NDArray


class OnnxRuntime(ExportedRuntime):
    """Runs an ONNX file that `centernet export` or `CenterNet.to_onnx` wrote.

    Args:
        path: the file.
        device: "cpu", or "cuda" ("cuda:1") with the package onnxruntime-gpu; None for the processor.
        threads: of the network; None for OMP_NUM_THREADS, else one for each core.

    Raises:
        ImportError: onnxruntime isn't installed.
        ValueError: the file is damaged or another program's, or the device isn't there.
    """

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        self.path = path
        self.session = open_session(path, device=device, threads=threads)
        self.metadata = read_metadata(path, self.session.get_modelmeta().custom_metadata_map.get(KEY))
        names = [output.name for output in self.session.get_outputs()]
        inputs = [put.name for put in self.session.get_inputs()]
        if inputs != [INPUT] or not set(self.metadata.outputs) <= set(names):
            raise ValueError(
                f"{path}: has the inputs {', '.join(inputs)} and outputs {', '.join(names)}, not {INPUT} and "
                f"{', '.join(self.metadata.outputs)} as its metadata says; export the model again"
            )

    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.outputs, self.session.run(self.outputs, {INPUT: inputs}), strict=True))


def open_session(path: Path, *, device: str | None = None, threads: int | None = None) -> Any:
    """Open any ONNX file as an `onnxruntime.InferenceSession`. Arguments as of `OnnxRuntime`."""
    onnxruntime = require("onnxruntime", "running an ONNX file")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = thread_count(threads)
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3  # errors only: a file's odd but harmless parts are not the user's concern
    # Threads that have nothing to do sleep, and leave the cores to the reading of the next images.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = _providers(device, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # its exceptions have no common base but this
        raise unreadable(path, error, "an ONNX file") from error


def _providers(device: str | None, available: list[str]) -> list[Any]:
    """Return onnxruntime's names for a device."""
    name, _, number = (device or "cpu").partition(":")
    if name == "cpu":
        return ["CPUExecutionProvider"]
    if name != "cuda" or (number and not number.isdigit()):
        raise ValueError(f"device {device!r}: expected 'cpu', 'cuda' or 'cuda:1' for an ONNX file")
    if "CUDAExecutionProvider" not in available:
        raise ValueError(
            f"device {device!r}: this onnxruntime runs on {', '.join(available)} only; "
            "pip install onnxruntime-gpu in its place"
        )
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]
