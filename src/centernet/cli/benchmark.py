"""`centernet benchmark MODEL`: how fast models are on this machine, from JPEG files to boxes.

centernet benchmark model.onnx best.ckpt --threads 2
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

EPILOG = """examples:
  centernet benchmark model.onnx
  centernet benchmark model.onnx model.xml best.ckpt --images photos --threads 1 --output speed
  centernet benchmark model.onnx --peer yolo11n.onnx         an ONNX file of another program: its network alone

Models take turns, picture by picture, so that a busy machine slows all of them. GFLOP counts products and sums. The
peak is the best float32 matrix product that NumPy does with as many threads. Without --images generated pictures of
640×480 pixels are used; decoding a photograph of that size takes about as long."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = _parser()
    given = parser.parse_args(arguments)

    from centernet.images import list_images
    from centernet.inference.benchmark import benchmark

    with contextlib.ExitStack() as stack:
        if given.images is None:
            pictures = _generated(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        else:
            pictures = list_images(given.images) if given.images.is_dir() else [given.images]
        report = benchmark(
            given.models,
            pictures,
            peers=given.peer,
            rounds=given.rounds,
            batch_size=given.batch_size,
            threads=given.threads,
            device=given.device,
        )
    print(report.table())
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        path = given.output / "benchmark.json"
        path.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _generated(folder: Path) -> list[Path]:
    """JPEG files with the spectrum of photographs: noise whose detail is fainter the finer it is."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    paths = []
    for number in range(4):
        image = np.full((480, 640, 3), 128, np.float32)
        for octave in range(8):
            noise = rng.normal(0, 24, (max(2, 480 >> octave), max(2, 640 >> octave), 3)).astype(np.float32)
            image += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC) * (0.25 + octave / 8)
        paths.append(folder / f"{number}.jpg")
        cv2.imwrite(str(paths[-1]), image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet benchmark",
        description="Measure models on this machine: latency, throughput, memory, arithmetic, stage by stage.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="what `centernet detect --model` takes")
    parser.add_argument("--peer", action="append", default=[], metavar="FILE", help="an ONNX file of another program")
    parser.add_argument("--images", type=Path, metavar="PATH", help="a JPEG file or a folder of them")
    parser.add_argument("--rounds", type=_positive, default=30, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--batch-size", type=_positive, default=8, metavar="N", help="for images a second; default: %(default)s"
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="of the network; default: OMP_NUM_THREADS or all"
    )
    parser.add_argument("--device", help="cpu, cuda, …; default: a GPU where there is one, for torch's files")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for benchmark.json; default: none is written"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
