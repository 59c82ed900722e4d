"""An exported OpenVINO file as a runtime of `Detector`: neither torch nor a configuration is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from centernet.extras import require
from centernet.inference.exported import ExportedRuntime, read_metadata, thread_count, unreadable
from centernet.inference.model_metadata import KEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRECISIONS = {"float32": "f32", "float16": "f32", "bfloat16": "bf16", "int8": "f32"}
"""Precision of the file → the one that its parts in floating point compute in. Left to itself, OpenVINO takes bfloat16
where the processor has it, and then the boxes are not those that were evaluated."""


class OpenVinoRuntime(ExportedRuntime):
    """Runs a model that `centernet export` wrote for OpenVINO.

    Args:
        path: its ``.xml`` file, with the ``.bin`` file beside it.
        device: as OpenVINO names it ("cpu", "gpu"); None for the processor.
        threads: of the network; None for OMP_NUM_THREADS, else OpenVINO's choice.

    Raises:
        ImportError: OpenVINO isn't installed.
        ValueError: a file is missing, damaged or another program's, or the device isn't there.
    """

    def __init__(self, path: Path, *, device: str | None = None, threads: int | None = None) -> None:
        self.path = path
        openvino = require("openvino", "running an OpenVINO file")
        if not path.with_suffix(".bin").is_file():
            raise ValueError(f"{path}: its weights {path.with_suffix('.bin').name} are not beside it; copy both files")
        core = openvino.Core()
        try:
            self.model = core.read_model(path)
        except Exception as error:
            raise unreadable(path, error, "an OpenVINO model") from error
        text = self.model.get_rt_info([KEY]).astype(str) if self.model.has_rt_info([KEY]) else None
        self.metadata = read_metadata(path, text)
        # A graph of one size runs faster than one of any size.
        self.one_size = not self.metadata.letterbox and self.metadata.preprocessing.resize != "keep"
        if self.one_size:
            height, width = self.metadata.preprocessing.size
            nhwc = self.metadata.layout == "NHWC"
            self.model.reshape([1, height, width, 3] if nhwc else [1, 3, height, width])
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if thread_count(threads):
            options["INFERENCE_NUM_THREADS"] = thread_count(threads)
        options["INFERENCE_PRECISION_HINT"] = PRECISIONS[self.metadata.precision]
        try:
            self.compiled = core.compile_model(self.model, (device or "cpu").upper(), options)
        except Exception as error:
            raise ValueError(
                f"{path}: OpenVINO cannot run it on the device {device or 'cpu'!r} "
                f"(there are {', '.join(core.available_devices)}): {str(error).strip().splitlines()[-1]}"
            ) from error

    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        results = []
        for batch in np.split(inputs, len(inputs)) if self.one_size else [inputs]:
            outputs = self.compiled(batch)
            results.append({name: np.array(outputs[name]) for name in self.outputs})
        return {name: np.concatenate([result[name] for result in results]) for name in self.outputs}
