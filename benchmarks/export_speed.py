"""Measure the CPU time of a detector in every form that it can be exported to, with its decode, on one thread.

OMP_NUM_THREADS=1 python benchmarks/export_speed.py --config configs/coco_resnet34.yaml --rounds 15

The forms take turns, and the time is the processor's own (user and system), so that other programs on the machine
disturb little; what is quoted are the ratios to PyTorch within a round (median). Weights are random, which does not
matter to the time. `decode` is what the detector takes longer than its network alone, `of the peak` the rate of the
network alone as a share of the best single 3×3 convolution of the same runtime and precision.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from centernet import CenterNet, build_centernet
from centernet.export import ExportOptions, export
from centernet.export.comparison import trial_images
from centernet.inference.exported_torch_runtime import quietly

Run = Callable[[], Any]
CONVOLUTIONS = ((64, 128), (128, 64), (256, 32), (512, 16))  # channels and side of the map, as ResNet-34 has them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_centernet(given.config, overrides=["model.backbone.init_args.pretrained=false"]).eval()
    images = trial_images(1, (given.size, given.size))
    normalized = model.normalize(images.permute(0, 3, 1, 2))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(normalized)
    flops = counter.get_total_flops()
    print(f"{given.config} at {given.size}: {flops / 1e9:.1f} GFLOP; torch {torch.__version__}, onnxruntime ", end="")
    print(f"{onnxruntime.__version__}, {processor()}, one thread, {given.rounds} rounds\n", flush=True)
    with tempfile.TemporaryDirectory() as folder, quietly():
        forms = build(model, images, Path(folder))
        peaks = {name: peak(name, Path(folder), given.rounds) for name in forms}
        seconds = take_turns({key: run for name, pair in forms.items() for key, run in pair.items()}, given.rounds)
    print("| form | CPU ms | times PyTorch's speed | decode | of the peak |\n|---|---|---|---|---|")
    for name in forms:
        whole, network = seconds[name], seconds.get(f"{name}, network")
        cells = [name, f"{1e3 * median(whole):.0f}", f"{relative(seconds['PyTorch'], whole):.2f}", "", ""]
        if network:
            cells[3] = f"{relative(whole, network) - 1:+.1%}"
        if network and peaks[name]:
            cells[4] = f"{flops / median(network) / peaks[name]:.0%} of {peaks[name] / 1e9:.0f} GFLOP/s"
        print(f"| {' | '.join(cells)} |")


def relative(seconds: list[float], base: list[float]) -> float:
    """Return the median of ratios within a round."""
    return median(a / b for a, b in zip(seconds, base, strict=True))


def build(model: CenterNet, images: torch.Tensor, folder: Path) -> dict[str, dict[str, Run]]:
    """Return form → {detector: …, network alone: …}, each a call without arguments."""
    array, heads = images.numpy(), list(model.heads)

    def eager(decode: bool) -> Any:
        with torch.inference_mode():
            encoded = model(model.normalize(images.permute(0, 3, 1, 2)))
            return model.decode_detections(encoded) if decode else encoded

    calibration = folder / "calibration"
    calibration.mkdir()
    for i, image in enumerate(trial_images(8, (images.shape[1], images.shape[2]), seed=1).numpy()):
        Image.fromarray(image).save(calibration / f"{i}.png")
    float32 = ExportOptions(raw_maps=True)
    int8 = ExportOptions(raw_maps=True, precision="int8", calibrate=calibration)
    forms: dict[str, dict[str, Run]] = {
        "PyTorch": {"PyTorch": lambda: eager(True), "PyTorch, network": lambda: eager(False)}
    }
    traced = model.to_torchscript()
    forms["TorchScript"] = {"TorchScript": lambda: traced(images)}
    for options in (float32, int8):
        file = export(model.network, folder / f"{options.precision}.onnx", options)
        name = f"onnxruntime {options.precision}"
        forms[name] = {}
        for part, outputs in {name: ["bboxes", "labels", "scores"], f"{name}, network": heads}.items():
            cut = folder / f"{part}.onnx"
            onnx.utils.extract_model(file, cut, ["images"], outputs)
            forms[name][part] = onnx_run(cut, {"images": array})
    if not find_spec("openvino"):
        return forms
    import openvino

    exported, quantized = (export(model.network, folder / f"{o.precision}.xml", o) for o in (float32, int8))
    for precision, file in (
        ("float32", exported), ("bfloat16", exported), ("int8", quantized), ("int8 and bfloat16", quantized)
    ):  # fmt: skip
        name = f"OpenVINO {precision}"
        forms[name] = {}
        for part, outputs in {name: ["bboxes", "labels", "scores"], f"{name}, network": heads}.items():
            graph = openvino.Core().read_model(file)
            graph.reshape(list(array.shape))
            wanted = [output for output in graph.outputs if output.get_any_name() in outputs]
            cut_graph = openvino.Model([output.node for output in wanted], graph.get_parameters())
            forms[name][part] = openvino_run(cut_graph, array, precision)
    return forms


def onnx_run(path: Path, feeds: dict[str, Any]) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


def openvino_run(graph: Any, array: Any, precision: str) -> Run:
    import openvino

    hint = "bf16" if "bfloat16" in precision else "f32"
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    return lambda: compiled([array])


def peak(form: str, folder: Path, rounds: int) -> float:
    """Return the FLOP/s of the fastest single 3×3 convolution (bias, ReLU) in a form's runtime; 0 for integers."""
    if "int8" in form:
        return 0.0
    best = 0.0
    for channels, side in CONVOLUTIONS:
        layers = [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(4)]
        network = nn.Sequential(*layers).eval().to(memory_format=torch.channels_last)
        x = torch.randn(1, channels, side, side).to(memory_format=torch.channels_last)
        flops = len(layers) * 2 * 9 * channels**2 * side**2
        times = take_turns({"": convolution(form, network, x, folder)}, rounds)[""]
        best = max(best, flops / median(times))
    return best


def convolution(form: str, network: nn.Module, x: torch.Tensor, folder: Path) -> Run:
    if form in ("PyTorch", "TorchScript"):

        def eager() -> Any:
            with torch.inference_mode():
                return network(x)

        return eager
    path = folder / "convolution.onnx"
    with quietly():
        torch.onnx.export(network, (x,), path, input_names=["x"], dynamo=True, external_data=False, verbose=False)
    array = np.ascontiguousarray(x.numpy())
    if form.startswith("onnxruntime"):
        return onnx_run(path, {"x": array})
    import openvino

    return openvino_run(openvino.convert_model(path), array, form)


def take_turns(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each run in each round; the first two rounds are for warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 2):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if i >= 2:
                seconds[name].append(time.process_time() - start)
    return seconds


def processor() -> str:
    """Return the name of the processor and the instructions that matter here."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile") if unit in facts["flags"]]
    return f"{facts['model name']} ({', '.join(units)})"


if __name__ == "__main__":
    main()
