"""Measures how fast a model is on this machine: from JPEG files to boxes, stage by stage, and the network alone."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from centernet.evaluation.collecting import text_table
from centernet.images import list_images, read_image
from centernet.inference.detector import Detector
from centernet.inference.exported import thread_count

STAGES = ("decode", "warp", "network", "after")
"""JPEG to pixels; pixels to the network's input; the network with the decode of its maps; boxes to the image's pixels
and the result."""


@dataclass
class ModelSpeed:
    """The measurements of one model. Times are in milliseconds: the `median`, `p95` (95 % are shorter) and the `best`.

    Attributes:
        model: its name.
        runtime: that ran it.
        input_size: (height, width) of the network's input.
        stages: the times of each of `STAGES`, one image at a time.
        latency: of one JPEG file to its boxes.
        images_per_second: JPEG files to boxes, reading ahead, in batches.
        cpu_ms: of all threads, for an image of these.
        network_per_second: images through the network alone, in batches.
        memory_mib: resident memory that opening and running it has added, with the packages that it was first to need;
            None where the system doesn't say.
        gflop: of an image: 10⁹ products and sums, each counted; None for others than torch's models.
    """

    model: str
    runtime: str
    input_size: tuple[int, int]
    stages: dict[str, dict[str, float]]
    latency: dict[str, float]
    images_per_second: float
    cpu_ms: float
    network_per_second: float
    memory_mib: float | None
    gflop: float | None

    def cells(self) -> dict[str, str]:
        """Return the column of the table, by the names of its rows."""
        texts = ("one JPEG to boxes, ms (p95)", "  JPEG to pixels", "  to the input", "  network", "  after it")
        times = dict(zip(texts, (self.latency, *(self.stages[key] for key in STAGES)), strict=True))
        return {
            "runtime": self.runtime,
            "input": f"{self.input_size[0]}×{self.input_size[1]}",
            **{text: f"{time['median']:.1f} ({time['p95']:.1f})" for text, time in times.items()},
            "JPEGs to boxes, a second": f"{self.images_per_second:.1f}",
            "  CPU ms each": f"{self.cpu_ms:.1f}",
            "network alone, images a second": f"{self.network_per_second:.1f}",
            "GFLOP an image": "–" if self.gflop is None else f"{self.gflop:.2f}",
            "memory added, MiB": "–" if self.memory_mib is None else f"{self.memory_mib:.0f}",
        }


@dataclass(frozen=True)
class SpeedReport:
    """The results of models in their order, and the machine: processor, cores, threads, versions."""

    machine: dict[str, Any]
    results: list[ModelSpeed]

    def table(self) -> str:
        """Return a table with a column for each model."""
        columns = [{"": result.model, **result.cells()} for result in self.results]
        lines = text_table([[name, *(column[name] for column in columns)] for name in columns[0]])
        machine = ", ".join(f"{key} {value}" if key != "processor" else value for key, value in self.machine.items())
        return "\n".join([*lines, "", machine])


def benchmark(
    models: Sequence[str],
    images: str | os.PathLike[str] | None = None,
    *,
    rounds: int = 30,
    batch_size: int = 8,
    threads: int | None = None,
    device: str | None = None,
    trust: bool = False,
) -> SpeedReport:
    """Measure models beside one another, in turns, so that what else the machine does falls on all of them.

    Args:
        models: what `Detector` opens.
        images: a JPEG file or a folder of them; default: four that are drawn.
        rounds: how often each model sees an image.
        batch_size: for the figures in images a second.
        threads: of the networks; default: the environment's OMP_NUM_THREADS, else that of each runtime.
        device: where they run ("cpu", "cuda"); default: a GPU where there is one, for torch's files.
        trust: as of `Detector`.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder if images is None else images)
        if images is None:
            _draw_images(given)
        files = list_images(given) if given.is_dir() else [given]
        measured = []
        for name in models:
            before = _resident()
            detector = Detector(name, threads=threads, device=device, batch_size=batch_size, trust=trust)
            detector(files[0])
            measured.append(_Measured(detector, _resident() - before if before else None))
        for i in range(rounds + 3):  # three to warm up
            for one in measured:
                one.look(files[i % len(files)], counts=i >= 3)
        results = [one.result(files, rounds, batch_size) for one in measured]
    return SpeedReport(_machine(thread_count(threads)), results)


class _Clocked:
    """Something that is called, with the seconds that its last call took."""

    def __init__(self, part: Any, **replaced: Any) -> None:
        self.part, self.seconds = part, 0.0
        self.__dict__ |= replaced

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def __call__(self, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = self.part(*arguments)
        self.seconds = time.perf_counter() - start
        return result


class _Measured:
    """A model under measurement."""

    def __init__(self, detector: Detector, memory: int | None) -> None:
        self.detector, self.memory, self.runtime = detector, memory, detector.runtime
        self.seconds: dict[str, list[float]] = {key: [] for key in (*STAGES, "latency")}

    def look(self, path: Path, *, counts: bool) -> None:
        """Time one image, as a whole and in parts."""
        whole, rest, decode = _Clocked(self.detector), _Clocked(self.detector), _Clocked(read_image)
        whole(path)
        image = decode(path)
        warp = _Clocked(self.runtime.preprocessing)
        network: Any = _Clocked(self.runtime, preprocessing=warp)
        self.detector.runtime = network
        rest(image)
        self.detector.runtime = self.runtime
        rest.seconds -= network.seconds + warp.seconds
        for key, clock in zip(self.seconds, (decode, warp, network, rest, whole), strict=True):
            self.seconds[key] += [clock.seconds] * counts

    def result(self, images: Sequence[Path], rounds: int, batch_size: int) -> ModelSpeed:
        """Return everything, with the figures that need batches."""
        batches = max(2, -(-rounds // batch_size))
        files = [images[i % len(images)] for i in range(batches * batch_size)]
        stream, cpu = _Clocked(lambda: sum(1 for _ in self.detector.stream(files))), time.process_time()
        stream()
        cpu = time.process_time() - cpu
        inputs = np.stack([self.runtime.preprocessing(read_image(images[0]))] * batch_size)
        network, alone = _Clocked(self.runtime), []
        for _ in range(batches):
            network(inputs, self.detector.num_detections)
            alone.append(network.seconds)
        return ModelSpeed(
            model=Path(self.detector.name).name,
            runtime=type(self.runtime).__name__.removesuffix("Runtime"),
            input_size=(inputs.shape[1], inputs.shape[2]),
            stages={key: _times(self.seconds[key]) for key in STAGES},
            latency=_times(self.seconds["latency"]),
            images_per_second=len(files) / stream.seconds,
            cpu_ms=1000 * cpu / len(files),
            network_per_second=batch_size / statistics.median(alone),
            memory_mib=None if self.memory is None else self.memory / 2**20,
            gflop=_gflop(self.runtime, inputs[:1]),
        )


def _times(seconds: Sequence[float]) -> dict[str, float]:
    """Summarise times, in milliseconds."""
    median, p95, best = np.percentile(seconds, [50, 95, 0]) * 1000
    return {"median": float(median), "p95": float(p95), "best": float(best)}


def _draw_images(folder: Path) -> None:
    """Write four JPEG files with the spectrum of photographs: noise whose detail is fainter the finer it is."""
    rng = np.random.default_rng(0)
    for number in range(4):
        image = np.full((480, 640, 3), 128, np.float32)
        for octave in range(8):
            noise = rng.normal(0, 24, (max(2, 480 >> octave), max(2, 640 >> octave), 3)).astype(np.float32)
            image += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC) * (0.25 + octave / 8)
        pixels = image.clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])


def _gflop(runtime: Any, images: NDArray[np.uint8]) -> float | None:
    """Count the arithmetic of one call by torch's own counter; None for runtimes that aren't torch's."""
    if not hasattr(runtime, "model") or not hasattr(runtime.model, "parameters"):
        return None
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        runtime(images, 1)
    return float(counter.get_total_flops()) / 1e9


def _resident() -> int:
    """Return the bytes of memory that this process holds; 0 where the system doesn't say."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * int(os.sysconf("SC_PAGE_SIZE")) if file.exists() else 0


def _machine(threads: int) -> dict[str, Any]:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    processor = next(named, platform.processor() or platform.machine())
    used = {name: sys.modules.get(name) for name in ("numpy", "onnxruntime", "openvino", "torch")}
    versions: dict[str, Any] = {name: module.__version__ for name, module in used.items() if module}
    return {"processor": processor, "cores": os.cpu_count(), "threads": threads or "all", **versions}
