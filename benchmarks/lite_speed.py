"""Time a packaged model against networks of other programs: one thread, ONNX Runtime, the same sizes, taking turns.

Ours with decode in the graph, exported by `to_onnx`, and its raw maps alone; a peer's ONNX file as it is, without what
comes after its network. Where `--peer` is left out the peers are YOLO11n and YOLO26n, built from their YAML (80
classes, random weights: speed does not depend on them), the first without NMS, the second needs none. They are AGPL
software and no dependency: give the Python of an environment that has it, and they are exported there.

With `--precisions` also the networks alone in 8-bit integers (both quantised alike by ONNX Runtime, on random images:
for time only) and, by OpenVINO, in float32 and bfloat16. With `--pruned` also the networks alone with two thirds of
their channels everywhere (ours: ShuffleNetV2 of width 1.0 before a neck of 88), of random weights: what taking
channels away would bring at best, whatever it costs.

python3 -m venv /tmp/peer && /tmp/peer/bin/pip install ultralytics onnx
python benchmarks/lite_speed.py --peer-python /tmp/peer/bin/python
python benchmarks/lite_speed.py --peer yolo11n_320.onnx --sizes 320
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from centernet import CenterNet
from centernet.network.build import build_network
from centernet.network.weights import model_section

PEER = """
import sys
import yaml
from ultralytics import YOLO
name = sys.argv[2]
plain = YOLO(name + ".yaml")
if float(sys.argv[3]) == 1:
    model = plain
else:
    parts = dict(plain.model.yaml)
    depth, width, most = parts["scales"][parts["scale"]]
    parts["scales"] = {parts["scale"]: [depth, width * float(sys.argv[3]), most]}
    parts.pop("yaml_file", None)
    with open(name + ".yaml", "w") as file:
        yaml.safe_dump(parts, file)
    model = YOLO(name + ".yaml")
print(model.export(format="onnx", imgsz=int(sys.argv[1]), simplify=False, nms=False), file=sys.stderr)
"""


def session(path: str | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def export_peer(python: str, size: int, folder: Path, name: str, channels: float = 1.0) -> Path:
    """Export a YOLO at `size` by its own package in its own environment, with a share of its channels."""
    work = folder / f"{name}_{size}_{channels:.2f}"
    work.mkdir()
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(work), "YOLO_OFFLINE": "1"}
    result = subprocess.run(
        [python, "-c", PEER, str(size), name, str(channels)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    files = list(work.glob("*.onnx"))
    if not files:
        raise SystemExit(f"error: {python} exported nothing at {size} px: {result.stderr[-800:]}")
    return files[0]


def random_input(network: onnxruntime.InferenceSession, size: int) -> dict[str, np.ndarray]:
    """Return values for the one input of a network, at `size` where its sides are free."""
    given, *others = network.get_inputs()
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
    if others or given.type not in types or len(given.shape) != 4:
        inputs = ", ".join(f"{one.name} {one.type} {one.shape}" for one in (given, *others))
        raise SystemExit(f"error: expected one input N×3×H×W or N×H×W×3 of float, float16 or uint8, got {inputs}")
    free = (1, size, size, 3) if given.shape[3] == 3 else (1, 3, size, size)
    shape = [side if isinstance(side, int) else other for side, other in zip(given.shape, free, strict=True)]
    if sorted(shape) != sorted(free):
        raise SystemExit(f"error: the network takes {'×'.join(map(str, given.shape))}, which is not {size} px")
    values = np.random.default_rng(0).random(shape, np.float32)
    return {given.name: (255 * values if given.type == "tensor(uint8)" else values).astype(types[given.type])}


def milliseconds(call: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def measured(calls: list[Callable[[], object]], rounds: int) -> np.ndarray:
    """Return the milliseconds of calls that take turns, there and back again; the first three rounds don't count."""
    times = []
    for _ in range(rounds + 3):
        there = [milliseconds(call) for call in calls]
        back = [milliseconds(call) for call in calls[::-1]][::-1]
        times.append(np.minimum(there, back))
    return np.array(times[3:])


def by_onnxruntime(path: str | Path, size: int) -> Callable[[], object]:
    network = session(path)
    feeds = random_input(network, size)
    return lambda: network.run(None, feeds)


def by_openvino(path: str | Path, size: int, precision: str) -> Callable[[], object]:
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    model = openvino.Core().read_model(path)
    model.reshape([1, 3, size, size])
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    values = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    return lambda: request.infer([values])


def in_integers(path: Path, size: int) -> Path:
    """Quantise the convolutions of a file, and what hands integers on between them."""
    from onnxruntime import quantization

    from centernet.export.quantize import OPERATORS

    inputs = iter([random_input(session(path), size)] * 2)
    simple, result = path.with_suffix(".simple.onnx"), path.with_suffix(".int8.onnx")
    quantization.quant_pre_process(str(path), simple, skip_symbolic_shape=True)

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return next(inputs, None)

    kinds = {"activation_type": quantization.QuantType.QUInt8, "weight_type": quantization.QuantType.QInt8}
    quantization.quantize_static(simple, result, Reader(), op_types_to_quantize=OPERATORS, per_channel=True, **kinds)
    return result


def precisions(maps: Path, peers: dict[str, Path], size: int, rounds: int) -> None:
    """Print what integers and bfloat16 bring to the networks alone, each against its own float32 and the peers'."""
    files = {"ours": maps, **peers}
    calls = {}
    for name, path in files.items():
        calls[name, "float32"] = by_onnxruntime(path, size)
        calls[name, "int8"] = by_onnxruntime(in_integers(path, size), size)
        calls[name, "OpenVINO float32"] = by_openvino(path, size, "f32")
        calls[name, "OpenVINO bfloat16"] = by_openvino(path, size, "bf16")
    times = dict(zip(calls, measured(list(calls.values()), rounds).T, strict=True))
    print(f"\n| {size} px | form | ms | × its float32 | × {next(iter(peers))} alike |\n|{'---|' * 5}")
    for (name, form), values in times.items():
        own = times.get((name, "OpenVINO float32" if form.startswith("OpenVINO") else "float32"))
        other = times[next(iter(peers)), form]
        cells = [name, form, f"{np.median(values):.1f}", f"{np.median(values / own):.2f}"]
        print(f"| {' | '.join(cells)} | {np.median(values / other):.2f} |", flush=True)


def pruned(maps: Path, peers: dict[str, Path], python: str, model: str, size: int, rounds: int) -> None:
    """Print the time of the networks alone with two thirds of their channels."""
    section = model_section(model)
    section["backbone"]["init_args"]["width"] = "1.0"
    section["neck"]["init_args"]["width"] = 88
    narrow = CenterNet.of(build_network({"model": section}))
    file = narrow.to_onnx(maps.with_name(f"pruned_{size}.onnx"), torch.rand(1, 3, size, size), raw_maps="only")
    whole = {"ours": maps, **peers}
    few = {"ours": file, **{name: export_peer(python, size, maps.parent, name, 2 / 3) for name in peers}}
    calls = [by_onnxruntime(path, size) for path in (*whole.values(), *few.values())]
    before, after = np.split(measured(calls, rounds), 2, axis=1)
    print(f"\n| {size} px | two thirds of the channels, ms | × whole | × {next(iter(peers))} alike |\n|{'---|' * 4}")
    for k, name in enumerate(whole):
        ratios = np.median(after[:, k] / before[:, k]), np.median(after[:, k] / after[:, 1])
        print(f"| {name} | {np.median(after[:, k]):.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peers = parser.add_mutually_exclusive_group(required=True)
    peers.add_argument("--peer-python", help="of an environment with ultralytics and onnx")
    peers.add_argument("--peer", help="an ONNX file of another program; {size} in its name stands for each of --sizes")
    parser.add_argument("--model", default="coco-lite")
    parser.add_argument("--yolo", nargs="+", default=["yolo11n", "yolo26n"], help="that --peer-python exports")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 416, 512])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--precisions", action="store_true", help="also int8 and bfloat16")
    parser.add_argument("--pruned", action="store_true", help="also with two thirds of the channels")
    given = parser.parse_args()
    if given.pruned and given.peer:
        parser.error("--pruned makes its peers anew: it goes with --peer-python")
    torch.set_num_threads(1)
    model = CenterNet.from_pretrained(given.model)
    print(f"{platform.processor() or platform.machine()}, onnxruntime {onnxruntime.__version__}, one thread")
    peers_of = [Path(given.peer).name] if given.peer else given.yolo
    cells = ["input", "ours, ms (with decode)", "ours, network alone", "decode, share"]
    for peer in peers_of:
        cells += [f"{peer}, ms", f"ours / {peer}", f"network alone / {peer}"]
    print(f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in given.sizes:
            sample, files = torch.rand(1, 3, size, size), []
            for maps, file in ((False, "whole"), ("only", "maps")):
                files.append(model.to_onnx(folder / f"{file}_{size}.onnx", sample, raw_maps=maps))
            if given.peer:
                peers_files = [Path(given.peer.replace("{size}", str(size)))]
            else:
                peers_files = [export_peer(given.peer_python, size, folder, peer) for peer in peers_of]
            times = measured([by_onnxruntime(file, size) for file in (*files, *peers_files)], given.rounds)
            middle = np.median(times, axis=0)
            cells = [size, f"{middle[0]:.1f}", f"{middle[1]:.1f}", f"{np.median(1 - times[:, 1] / times[:, 0]):.1%}"]
            for k in range(2, times.shape[1]):
                ratios = np.median(times[:, :2] / times[:, k : k + 1], axis=0)
                cells += [f"{middle[k]:.1f}", f"**{ratios[0]:.3f}**", f"{ratios[1]:.3f}"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
            if given.precisions:
                named = dict(zip(peers_of, peers_files, strict=True))
                precisions(Path(files[1]), named, size, given.rounds)
            if given.pruned:
                named = dict(zip(peers_of, peers_files, strict=True))
                pruned(Path(files[1]), named, given.peer_python, given.model, size, given.rounds)


if __name__ == "__main__":
    main()
