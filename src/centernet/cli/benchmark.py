"""`centernet benchmark MODEL`: how fast models are on this machine, from JPEG files to boxes.

centernet benchmark model.onnx best.ckpt --threads 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from centernet.cli.arguments import (
    OptionType,
    add_old_name,
    add_options,
    add_trust,
    command_parser,
    given_options,
    positive,
)
from centernet.cli.log import tell
from centernet.inference.benchmark import benchmark
from centernet.whole import write_json

EPILOG = """examples:
  centernet benchmark model.onnx
  centernet benchmark model.onnx model.xml best.ckpt --images photos --threads 1 --output speed

Models take turns, image by image, so that a busy machine slows all of them. GFLOP counts products and sums, and is
known of torch's models alone. Without --images generated images of 640×480 pixels are used; decoding a photograph of
that size takes about as long."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if hasattr(given, "peer"):
        parser.error("--peer is no more: benchmarks/lite_speed.py of the repository times networks of other programs")
    report = benchmark(**given_options(given, benchmark))
    tell(report.table())
    if given.output is not None:
        path = given.output / "benchmark.json"
        write_json(path, asdict(report), indent=1)
        tell(f"wrote {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    description = "Measure models on this machine: latency, throughput, memory, arithmetic, stage by stage."
    parser = command_parser("benchmark", description, EPILOG)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="what `centernet detect --model` takes")
    types: dict[str, OptionType] = {"rounds": positive, "batch_size": positive, "threads": positive, "images": Path}
    add_options(parser, benchmark, ["images", "rounds", "batch_size", "threads", "device"], types=types)
    add_trust(parser)
    add_old_name(parser, "--peer", action="append")
    text = "folder for benchmark.json; default: none is written"
    parser.add_argument("--output", type=Path, metavar="DIR", help=text)
    return parser
