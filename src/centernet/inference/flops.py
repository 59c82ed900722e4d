"""How much arithmetic a network is, and how much of it the machine can do: both count a product and its sum as two.

Only convolutions and matrix products count; they are nearly all of a detector.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PEAK = """
import sys, time
import numpy as np
n, best = 1536, float("inf")
a, b = (np.random.default_rng(i).standard_normal((n, n), dtype=np.float32) for i in (0, 1))
out = a @ b
stop = time.perf_counter() + float(sys.argv[1])
while best == float("inf") or time.perf_counter() < stop:
    start = time.perf_counter()
    np.matmul(a, b, out=out)
    best = min(best, time.perf_counter() - start)
print(2 * n**3 / best)
"""


def machine_peak(threads: int, *, seconds: float = 2.0) -> float | None:
    """Floating-point operations a second of NumPy's float32 matrix product, the best of some seconds.

    Args:
        threads: as many as the network has; 0 for all. They are set in a process of its own, because NumPy reads them
            when it is loaded.
        seconds: how long to look for the best.

    Returns:
        None where no such process can be started.
    """
    limits = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    limits["VECLIB_MAXIMUM_THREADS"] = str(threads)
    cleared = {name: value for name, value in os.environ.items() if name not in limits}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(seconds)],
        env=cleared | (limits if threads else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    return float(done.stdout) if done.returncode == 0 else None


def operations(runtime: Any, images: NDArray[np.uint8]) -> float | None:
    """Floating-point operations of one call of a runtime.

    Args:
        runtime: one of this room.
        images: uint8 N×H×W×3, its input.

    Returns:
        None where the runtime has no way to tell.
    """
    if hasattr(runtime, "session"):
        from centernet.inference.exported import network_input
        from centernet.inference.model_metadata import INPUT

        return onnx_operations(runtime.path, {INPUT: network_input(images, runtime.metadata)})
    if hasattr(runtime, "compiled"):
        return _openvino_operations(runtime.model) * len(images) if runtime.one_size else None
    if hasattr(runtime, "model"):
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            runtime(images, 1)
        return float(counter.get_total_flops()) or None
    return None


def onnx_operations(path: Path, inputs: dict[str, NDArray[Any]]) -> float:
    """Of any ONNX file on these inputs, from the shapes that onnxruntime's profile states."""
    from centernet.extras import require
    from centernet.inference.onnx_runtime import open_session

    plain = require("onnxruntime", "counting operations").GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(
            path,
            threads=1,
            entries={"session.disable_prepacking": "1"},  # weights that are laid out anew are not in the profile
            enable_profiling=True,
            profile_file_prefix=str(Path(folder) / "profile"),
            graph_optimization_level=plain,  # the file's own operators, not what they are fused to
        )
        session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    total = 0.0
    for event in events:
        values = event.get("args", {})
        if event.get("cat") == "Node" and "input_type_shape" in values:
            shapes = [next(iter(one.values())) for one in values["input_type_shape"]]
            outputs = [next(iter(one.values())) for one in values["output_type_shape"]]
            total += _products(values["op_name"], shapes, outputs)
    return total


def _products(name: str, inputs: list[list[int]], outputs: list[list[int]]) -> float:
    """Operations of one operator of ONNX, by the shapes of its inputs and outputs."""
    if name in ("Conv", "ConvInteger"):
        return 2.0 * math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if name == "QLinearConv":  # picture, its scale and zero point, weights, …
        return 2.0 * math.prod(outputs[0]) * math.prod(inputs[3][1:])
    if name == "ConvTranspose":
        return 2.0 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if name in ("MatMul", "Gemm", "MatMulInteger"):
        return 2.0 * math.prod(outputs[0]) * inputs[0][-1]
    if name == "DeformConv":
        return 2.0 * math.prod(outputs[0]) * math.prod(inputs[1][1:])
    return 0.0


def _openvino_operations(model: Any) -> float:
    """Of an OpenVINO model of fixed shapes."""
    total = 0.0
    for operator in model.get_ordered_ops():
        kind = operator.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"):
            continue
        inputs = [list(operator.input(i).get_partial_shape().to_shape()) for i in (0, 1)]
        output = list(operator.output(0).get_partial_shape().to_shape())
        # Weights: O×I×…; with groups G×O×I×…; of a transposed one I×O×…, with groups G×I×O×….
        per_value = math.prod(inputs[1][2 if kind.startswith("Group") else 1 :])
        total += 2.0 * math.prod(inputs[0] if "Backprop" in kind else output) * per_value
    return total
