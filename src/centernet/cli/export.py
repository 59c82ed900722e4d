"""`centernet export MODEL`: a trained model as a file for other runtimes.

centernet export best.ckpt --format onnx --output best.onnx
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from centernet.cli.arguments import (
    add_old_name,
    add_options,
    add_trust,
    command_parser,
    fraction,
    given_options,
    parameter_texts,
    positive,
)
from centernet.cli.log import tell
from centernet.export.options import FORMATS, ExportOptions, check_options, format_of
from centernet.inference.guard import Inputs

EPILOG = """examples:
  centernet export best.ckpt
  centernet export coco-lite --format onnx --letterbox --output detector.onnx
  centernet export best.ckpt --format onnx --int8 --calibrate photos
  centernet export best.ckpt --format openvino --int8 --calibrate photos --annotations val.json --images photos
  centernet export best.ckpt --format openvino --precision bfloat16
  centernet export coco-lite --format web --output page

onnx: onnxruntime, TensorRT. torchscript: libtorch. pt2: torch.export; --compile for AOTInductor. openvino: Intel and
AMD processors. web: a folder with a page that looks at photos and the webcam. litert (TensorFlow Lite), executorch,
ncnn: phones and boards. coreml: Apple's systems. Every file has the decode in its graph (ncnn: beside it) and says of
itself what a runtime needs to know; it is run against the model before the command ends, coreml's excepted. `centernet
detect SOURCE --model FILE` runs it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = _parser()
    words = list(arguments)
    for i, word in enumerate(words):  # a word behind the option belongs to it where it is "only"; it may be the model
        if word == "--raw-maps":
            only = words[i + 1 : i + 2] == ["only"]
            words[i : i + 1 + only] = [f"--raw-maps={'only' if only else 'too'}"]
    given = parser.parse_args(words)
    if (given.annotations is None) != (given.images is None):
        parser.error("--annotations and --images go together")
    if hasattr(given, "raw_maps"):
        given.raw_maps = {"only": "only", "too": True}.get(given.raw_maps, False)
    options = ExportOptions(**given_options(given, ExportOptions))
    format = given.format or ("onnx" if given.output is None else format_of(given.output))
    web = format == "web"
    if given.offline is not None and not web:
        parser.error("--offline belongs to --format web")
    if given.annotations is not None and (web or not FORMATS[format].checked):
        parser.error(f"--annotations: nothing here opens the files of the format {format}")
    try:
        check_options("onnx" if web else format, options)
    except ValueError as error:
        parser.error(str(error))

    from centernet.data import COCO
    from centernet.export import accuracy, export
    from centernet.network.weights import load_network, recorded_figures

    if str(given.model).lower().endswith((*(kind.suffix for kind in FORMATS.values()), ".bin")):
        raise ValueError(
            f"{given.model}: is an exported file already; give the checkpoint (.ckpt) that it was made from"
        )
    network = load_network(given.model, trust=getattr(given, "trust", False))
    if given.input_size is not None:
        network.preprocessing = replace(network.preprocessing, size=tuple(given.input_size))
    if web:
        return _web(network, given, options)
    name = Path(given.model).stem + ("_int8" if options.precision == "int8" else "") + FORMATS[format].suffix
    options = replace(options, figures=recorded_figures(given.model))
    Inputs([given.model, given.annotations]).check(given.output or name)
    path = export(network, given.output or Path(name), options, format=format)
    if given.annotations is not None:
        dataset = COCO(given.annotations, given.images)
        before, after = (accuracy(form, dataset, trust=form is path).stats["AP"] for form in (network, path))
        change = f"{before:.4f} in PyTorch, {after:.4f} in {path.name} ({after - before:+.4f})"
        tell(f"AP on {len(dataset)} images: {change}")
    beside = (path.with_suffix(suffix) for suffix in FORMATS[format].beside)
    files = [path, *(file for file in beside if file.is_file())]
    tell("wrote " + " and ".join(f"{file} ({_size(file) / 1e6:.1f} MB)" for file in files))
    return 0


def _web(network: Any, given: argparse.Namespace, options: ExportOptions) -> int:
    """Write the folder of a page."""
    from centernet.export.web import export_web

    name = Path(given.model).stem
    folder = given.output or Path(f"{name}_web")
    Inputs([given.model, given.annotations]).check(folder)
    export_web(network, folder, options, name=name, offline=given.offline)
    size = sum(_size(file) for file in folder.iterdir())
    tell(f"wrote {folder} ({size / 1e6:.1f} MB); to look at it: python -m http.server --directory {folder}")
    return 0


def _size(path: Path) -> int:
    """Return the bytes of a file, or of those in a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def _parser() -> argparse.ArgumentParser:
    description = "Write a trained model as a file for other runtimes, with the decode in its graph."
    parser = command_parser("export", description, EPILOG)
    text = "checkpoint (.ckpt), a folder, or a model of the package: coco-lite, person-pose, voc-lite"
    parser.add_argument("model", metavar="MODEL", help=text)
    parser.add_argument("--format", choices=[*FORMATS, "web"], help="default: that of --output's suffix, or onnx")
    text = "default: the model's name with the format's suffix"
    parser.add_argument("--output", type=Path, metavar="FILE", help=text)
    text = "what images are resized to; default: as the model was trained"
    parser.add_argument("--input-size", type=positive, nargs=2, metavar=("HEIGHT", "WIDTH"), help=text)
    kinds = {"num_detections": positive, "score_threshold": fraction, "calibration_images": positive}
    add_options(parser, ExportOptions, ("num_detections", "score_threshold", "classes", "letterbox"), types=kinds)
    text = f"{parameter_texts(ExportOptions)['raw_maps']}; default: none"
    parser.add_argument(
        "--raw-maps", nargs="?", choices=("too", "only"), metavar="only", default=argparse.SUPPRESS, help=text
    )
    text = "of --format web: npm folder with onnxruntime-web, which then lies beside the page; default: from a CDN"
    parser.add_argument("--offline", type=Path, metavar="DIR", help=text)
    add_trust(parser)
    add_old_name(parser, "--no-raw-maps", dest="raw_maps", action="store_false")
    add_options(parser, ExportOptions, ("input_type",))
    precision = parser.add_mutually_exclusive_group()
    add_options(precision, ExportOptions, ("precision",))
    short: dict[str, Any] = {"action": "store_const", "const": "int8", "default": argparse.SUPPRESS}
    precision.add_argument("--int8", dest="precision", help="short for --precision int8", **short)
    add_options(
        parser, ExportOptions, ("calibrate", "calibration_images", "opset", "deform_conv", "compile"), types=kinds
    )
    add_old_name(parser, "--calibration-pictures", dest="calibration_images", type=positive)
    parser.add_argument("--annotations", metavar="FILE", help="COCO file: report the AP that the written file loses")
    parser.add_argument("--images", metavar="DIR", help="images of --annotations")
    return parser
