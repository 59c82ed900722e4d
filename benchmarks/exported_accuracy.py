"""AP of a model in every form that it can be exported to, on the same images, through `Detector`.

python benchmarks/exported_accuracy.py --annotations SHARED/data/voc2007/val.json \
    --images SHARED/data/voc2007/JPEGImages --calibrate SHARED/data/voc2007/train.json

Forms whose packages are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from centernet.data import COCO
from centernet.export import ExportOptions, accuracy, export
from centernet.network import load_network

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "ONNX float32": ("m.onnx", {}),
    "ONNX float16": ("m16.onnx", {"precision": "float16"}),
    "ONNX int8": ("m8.onnx", {"precision": "int8"}),
    "TorchScript": ("m.pt", {}),
    "torch.export": ("m.pt2", {}),
    "OpenVINO float32": ("m.xml", {}),
    "OpenVINO float16": ("m16.xml", {"precision": "float16"}),
    "OpenVINO bfloat16": ("mb.xml", {"precision": "bfloat16"}),
    "OpenVINO int8": ("m8.xml", {"precision": "int8"}),
}
MOBILE: dict[str, tuple[str, dict[str, Any]]] = {
    "LiteRT": ("m.tflite", {}),
    "NCNN": ("m.ncnn.param", {}),
    "NCNN float16": ("m16.ncnn.param", {"precision": "float16"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--calibrate", required=True, help="annotations whose images set the ranges of int8")
    parser.add_argument("--count", type=int, default=200, help="of calibration images; default: %(default)s")
    parser.add_argument("--model", default="voc-lite", help="a name, a folder or a checkpoint")
    parser.add_argument(
        "--mobile", action="store_true", help="also the formats for phones and boards, one by one image"
    )
    given = parser.parse_args()
    network = load_network(given.model)
    dataset, calibration = COCO(given.annotations, given.images), COCO(given.calibrate, given.images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "calibration"
        photos.mkdir()
        for i in range(0, len(calibration), max(1, len(calibration) // given.count)):
            path = Path(calibration.path(i)).resolve()
            (photos / path.name).symlink_to(path)
        forms: dict[str, Any] = {"PyTorch": lambda: network}
        for form, (file, options) in (FORMS | MOBILE if given.mobile else FORMS).items():
            if options.get("precision") == "int8":
                options = options | {"calibrate": photos, "calibration_images": given.count}
            forms[form] = partial(export, network, folder / file, ExportOptions(**options))
        reference = 0.0
        print(f"{len(dataset)} images, {len(list(photos.iterdir()))} for calibration\n")
        print("| form | AP | AP50 | AP − PyTorch's |\n|---|---|---|---|", flush=True)
        for form, make in forms.items():
            try:
                stats = accuracy(make(), dataset).stats
            except ImportError as error:
                print(f"| {form} | left out: {error} | | |", flush=True)
                continue
            reference = reference or stats["AP"]
            lost = stats["AP"] - reference
            print(f"| {form} | {stats['AP']:.4f} | {stats['AP50']:.4f} | {lost:+.4f} |", flush=True)


if __name__ == "__main__":
    main()
