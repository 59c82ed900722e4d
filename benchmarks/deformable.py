"""Deformable convolutions in ONNX files: which runtimes take GridSample and DeformConv, and how long each takes.

OMP_NUM_THREADS=1 python benchmarks/deformable.py --model dla34 --size 512 --rounds 10

`--model` is a folder of `centernet convert`, or a configuration, whose offsets are then drawn at random. The files have
the raw maps alone, so that programs without the operators of the decode can take them. Both forms and PyTorch take
turns on one thread; times are the processor's own, and ratios those within a round (median).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import onnxruntime
import openvino
import torch
from export_speed import openvino_run, processor, relative, take_turns

from centernet import build_centernet
from centernet.export import ExportOptions, export
from centernet.inference.exported_torch_runtime import quietly
from centernet.network import Network, load_network
from centernet.network.layers import DeformableConv

FORMS = {"GridSample": False, "DeformConv": True}
Run = Callable[[], list[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="configs/coco_dla34_original.yaml")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = opened(given.model)
    image = torch.randn(1, 3, given.size, given.size)
    with torch.inference_mode():
        expected = [x.numpy() for x in network.named_maps(network(image)).values()]
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, OpenVINO {openvino.__version__}"
    print(
        f"{given.model} at {given.size}, {versions.split('-')[0]}, OpenCV {cv2.__version__}; {processor()}", flush=True
    )
    runs: dict[str, Run] = {"PyTorch": lambda: eager(network, image)}
    rows = {}
    with tempfile.TemporaryDirectory() as folder, quietly():
        for form, as_operator in FORMS.items():
            path = Path(folder) / f"{form}.onnx"
            options = ExportOptions(raw_maps="only", input_type="float32", deform_conv=as_operator)
            export(network, path, options, torch.zeros(2, 3, given.size, given.size))
            for runtime, load in (("onnxruntime", by_onnxruntime), ("OpenVINO", by_openvino), ("OpenCV", by_opencv)):
                try:
                    run = load(path, image.numpy(), list(network.map_names))
                    gap = max(float(np.abs(a - b).max() / b.std()) for a, b in zip(run(), expected, strict=True))
                except Exception as error:  # each has its own
                    rows[f"{runtime}, {form}"] = f"does not take it: {' '.join(str(error).split())[:160]}"
                    continue
                runs[f"{runtime}, {form}"] = run
                rows[f"{runtime}, {form}"] = f"{gap:.0e} of the maps' deviation"
        seconds = take_turns(runs, given.rounds)
    base = seconds["PyTorch"]
    print("| runtime, form | CPU ms | times PyTorch's speed | differs by |\n|---|---|---|---|")
    print(f"| PyTorch | {ms(base)} | | |")
    for name, said in rows.items():
        times = seconds.get(name)
        print(f"| {name} | {ms(times) if times else ''} | {f'{relative(base, times):.2f}' if times else ''} | {said} |")
    for runtime in ("onnxruntime", "OpenVINO", "OpenCV"):
        both = [seconds.get(f"{runtime}, {form}") for form in FORMS]
        if both[0] and both[1]:
            print(f"{runtime}: DeformConv takes {relative(both[1], both[0]):.2f} of the time of GridSample")


def ms(seconds: list[float]) -> str:
    return f"{1e3 * median(seconds):.0f}"


def opened(model: str) -> Network:
    """Open a folder, or build a configuration with offsets that move taps by about a cell."""
    if not model.endswith((".yaml", ".yml")):
        return load_network(model)
    network = build_centernet(model, overrides=["model.backbone.init_args.pretrained=false"]).network.eval()
    for module in network.modules():
        if isinstance(module, DeformableConv):
            torch.nn.init.normal_(module.conv_offset_mask.weight, std=0.02)
    return network


def eager(network: Network, image: torch.Tensor) -> list[Any]:
    with torch.inference_mode():
        return [*network(image).values()]


def by_onnxruntime(path: Path, image: Any, names: list[str]) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(names, {"images": image})


def by_openvino(path: Path, image: Any, names: list[str]) -> Run:
    graph = openvino.Core().read_model(path)
    graph.reshape(list(image.shape))
    run = openvino_run(graph, image, "float32")

    def call() -> list[Any]:
        found = run()
        return [found[name] for name in names]

    return call


def by_opencv(path: Path, image: Any, names: list[str]) -> Run:
    network = cv2.dnn.readNetFromONNX(str(path))
    cv2.setNumThreads(1)

    def call() -> list[Any]:
        network.setInput(image, "images")
        return list(network.forward(names))

    return call


if __name__ == "__main__":
    main()
