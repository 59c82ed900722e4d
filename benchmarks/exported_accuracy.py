"""AP of a model in every form that it can be exported to, on the same pictures, through `Detector`.

python benchmarks/exported_accuracy.py --annotations SHARED/data/voc2007/val.json \
    --images SHARED/data/voc2007/JPEGImages --calibrate SHARED/data/voc2007/train.json

Forms whose packages are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from centernet import CenterNet
from centernet.data import COCO
from centernet.export import (
    accuracy,
    convert_to_openvino,
    export_onnx,
    export_openvino,
    export_pt2,
    export_torchscript,
    quantize_onnx,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--calibrate", required=True, help="annotations whose pictures set the ranges of int8")
    parser.add_argument("--count", type=int, default=200, help="of calibration pictures; default: %(default)s")
    parser.add_argument("--model", default="voc-lite", help="a name, a folder or a checkpoint")
    given = parser.parse_args()
    model = CenterNet.load_from_checkpoint if given.model.endswith(".ckpt") else CenterNet.from_pretrained
    model = model(given.model)
    dataset, calibration = COCO(given.annotations, given.images), COCO(given.calibrate, given.images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = folder / "calibration"
        pictures.mkdir()
        for i in range(0, len(calibration), max(1, len(calibration) // given.count)):
            path = Path(calibration.path(i)).resolve()
            (pictures / path.name).symlink_to(path)
        forms: dict[str, Callable[[], object]] = {
            "PyTorch": lambda: model,
            "ONNX float32": lambda: export_onnx(model, folder / "m.onnx"),
            "ONNX float16": lambda: export_onnx(model, folder / "m16.onnx", precision="float16"),
            "ONNX int8": lambda: quantize_onnx(folder / "m.onnx", folder / "m8.onnx", pictures, count=given.count),
            "TorchScript": lambda: (export_torchscript(model, folder / "m.pt"), folder / "m.pt")[1],
            "torch.export": lambda: export_pt2(model, folder / "m.pt2"),
            "OpenVINO float32": lambda: export_openvino(model, folder / "m.xml"),
            "OpenVINO bfloat16": lambda: export_openvino(model, folder / "mb.xml", precision="bfloat16"),
            "OpenVINO int8": lambda: convert_to_openvino(folder / "m8.onnx", folder / "m8.xml"),
        }
        reference = 0.0
        print(f"{len(dataset)} pictures, {len(list(pictures.iterdir()))} for calibration\n")
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
