"""`centernet export MODEL`: a trained model as a file for other runtimes.

centernet export best.ckpt --format onnx --output best.onnx
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centernet.network import Network

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2", "openvino": ".xml"}
EPILOG = """examples:
  centernet export best.ckpt
  centernet export voc-lite --format onnx --letterbox --output detector.onnx
  centernet export best.ckpt --format onnx --int8 --calibrate photos
  centernet export best.ckpt --format openvino --int8 --calibrate photos --annotations val.json --images photos
  centernet export best.ckpt --format openvino --precision bfloat16

onnx: onnxruntime, browsers, TensorRT. torchscript: libtorch. pt2: torch.export; --compile for AOTInductor. openvino:
Intel and AMD processors. Every file has the decode in its graph and says of itself what a runtime needs to know; it is
run against the model before the command ends. `centernet detect SOURCE --model FILE` runs it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    _check(parser, given)
    path: Path = given.output or Path(Path(given.model).stem + ("_int8" * given.int8) + SUFFIXES[given.format])
    from centernet.network.weights import recorded_figures

    model = _load(given.model)
    options = {
        "num_detections": given.num_detections,
        "raw_maps": given.raw_maps,
        "score_threshold": given.score_threshold,
        "figures": recorded_figures(given.model),
    }
    if given.input_size is not None:
        from dataclasses import replace

        model.preprocessing = replace(model.preprocessing, size=tuple(given.input_size))
    writers: dict[str, Callable[[Path], Any]] = _writers(model, given, options)
    if given.int8:
        _int8(given, path, writers["onnx"])
    else:
        writers[given.format](path)
    if given.annotations is not None:
        _report(model, path, given)
    files = [path, path.with_suffix(".bin")] if given.format == "openvino" else [path]
    print("wrote " + " and ".join(f"{file} ({file.stat().st_size / 1e6:.1f} MB)" for file in files))
    return 0


def _writers(model: Network, given: argparse.Namespace, options: dict[str, Any]) -> dict[str, Callable[[Path], Any]]:
    from centernet import export

    options = options | {"precision": given.precision}
    boxed = options | {"letterbox": given.letterbox}
    opset = {} if given.opset is None else {"opset": given.opset}
    return {
        "onnx": lambda path: export.export_onnx(model, path, **boxed, **opset),
        "torchscript": lambda path: export.export_torchscript(model, path, **boxed),
        "pt2": lambda path: (export.compile_pt2 if given.compile else export.export_pt2)(model, path, **options),
        "openvino": lambda path: export.export_openvino(model, path, **boxed),
    }


def _int8(given: argparse.Namespace, path: Path, write_onnx: Callable[[Path], Any]) -> None:
    from centernet import export

    with tempfile.TemporaryDirectory() as folder:
        source, quantized = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        write_onnx(source)
        quantized = path if given.format == "onnx" else quantized
        export.quantize_onnx(source, quantized, given.calibrate, count=given.calibration_pictures)
        if given.format == "openvino":
            export.convert_to_openvino(quantized, path)


def _report(model: Network, path: Path, given: argparse.Namespace) -> None:
    """AP of the model and of its file on a labelled set."""
    from centernet.data import COCO
    from centernet.export import accuracy

    dataset = COCO(given.annotations, given.images)
    before, after = (accuracy(form, dataset).stats["AP"] for form in (model, path))
    print(f"AP on {len(dataset)} pictures: {before:.4f} in PyTorch, {after:.4f} in {path.name} ({after - before:+.4f})")


def _load(name: str) -> Network:
    from centernet.network import load_network

    if Path(name).suffix.lower() in (*SUFFIXES.values(), ".bin"):
        raise ValueError(f"{name}: is an exported file already; give the checkpoint (.ckpt) that it was made from")
    return load_network(name)


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Combinations that mean nothing."""
    for name, formats in {"int8": ("onnx", "openvino"), "opset": ("onnx",), "compile": ("pt2",)}.items():
        if getattr(given, name) and given.format not in formats:
            parser.error(f"--{name} belongs to --format {' or '.join(formats)}, not {given.format}")
    if given.letterbox and given.format == "pt2":
        parser.error("--letterbox: a .pt2 takes inputs of one size; use --format onnx, torchscript or openvino")
    if given.int8 != (given.calibrate is not None):
        parser.error("--int8 and --calibrate FOLDER go together: ranges are measured on pictures")
    if given.int8 and given.precision != "float32":
        parser.error("--int8 and --precision exclude each other")
    if (given.annotations is None) != (given.images is None):
        parser.error("--annotations and --images go together")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet export",
        description="Write a trained model as a file for other runtimes, with the decode in its graph.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint (.ckpt), a folder, or a model of the package: voc-lite"
    )
    parser.add_argument("--format", choices=SUFFIXES, default="onnx", help="default: %(default)s")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: the model's name with the format's suffix"
    )
    parser.add_argument(
        "--precision", choices=("float32", "float16", "bfloat16"), default="float32",
        help="of the network; inputs, outputs and decode stay as they are; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--int8", action="store_true", help="8-bit integers (onnx, openvino); needs --calibrate")
    parser.add_argument("--calibrate", type=Path, metavar="FOLDER", help="pictures that int8's ranges are measured on")
    parser.add_argument(
        "--calibration-pictures", type=_positive, default=200, metavar="N", help="at most; default: %(default)s"
    )
    parser.add_argument("--annotations", metavar="FILE", help="COCO file: report the AP that the written file loses")
    parser.add_argument("--images", metavar="DIR", help="pictures of --annotations")
    parser.add_argument(
        "--input-size", type=_positive, nargs=2, metavar=("HEIGHT", "WIDTH"),
        help="what pictures are resized to; default: as the model was trained",
    )  # fmt: skip
    parser.add_argument(
        "--letterbox", action="store_true",
        help="resize and pad inside the graph: pictures of any size in, boxes in their own pixels out",
    )  # fmt: skip
    parser.add_argument("--num-detections", type=_positive, default=100, metavar="K", help="default: %(default)s")
    parser.add_argument(
        "--score-threshold", type=float, default=0.3, metavar="SCORE",
        help="stands in the file, for who shows detections; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--raw-maps", action="store_true", help="the heads' maps as further outputs")
    parser.add_argument("--opset", type=int, metavar="N", help="of onnx: 18 to 23; default: 18")
    parser.add_argument("--compile", action="store_true", help="of pt2: compile for this machine; needs a C++ compiler")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
