"""Measures how fast a model is on this machine: from JPEG files to boxes, stage by stage, and the network alone."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from centernet.images import list_images, read_image
from centernet.inference.detector import Detector
from centernet.inference.exported import thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAGES = ("decode", "warp", "network", "after")
"""JPEG to pixels; pixels to the network's input; the network with the decode of its maps; boxes to the image's pixels
and the result."""


@dataclass(frozen=True)
class Timing:
    """Statistics of one stage done many times, in milliseconds.

    Attributes:
        median: half of the times are shorter.
        p95: 95 % are.
        best: the shortest.
    """

    median: float
    p95: float
    best: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Summarise times."""
        return cls(1000 * statistics.median(seconds), 1000 * float(np.percentile(seconds, 95)), 1000 * min(seconds))


@dataclass
class ModelSpeed:
    """The measurements of one model.

    Attributes:
        model: its name.
        runtime: that ran it.
        input_size: (height, width) of the network's input.
        stages: by `STAGES`, one image at a time.
        latency: one JPEG file to its boxes.
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
    stages: dict[str, Timing]
    latency: Timing
    images_per_second: float
    cpu_ms: float
    network_per_second: float
    memory_mib: float | None
    gflop: float | None


@dataclass(frozen=True)
class SpeedReport:
    """The results of models on one machine, at one time.

    Attributes:
        machine: processor, cores, threads, versions.
        results: in the order of the models.
    """

    machine: dict[str, Any]
    results: list[ModelSpeed]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Return a table with a column for each model."""
        stages = {"decode": "  JPEG to pixels", "warp": "  to the input", "network": "  network", "after": "  after it"}
        rows: list[tuple[str, Callable[[ModelSpeed], str]]] = [
            ("runtime", lambda r: r.runtime),
            ("input", lambda r: f"{r.input_size[0]}×{r.input_size[1]}"),
            ("one JPEG to boxes, ms (p95)", lambda r: _ms(r.latency)),
            *((text, lambda r, key=key: _ms(r.stages[key])) for key, text in stages.items()),
            ("JPEGs to boxes, a second", lambda r: _number(r.images_per_second)),
            ("  CPU ms each", lambda r: _number(r.cpu_ms)),
            ("network alone, images a second", lambda r: _number(r.network_per_second)),
            ("GFLOP an image", lambda r: _number(r.gflop, 2)),
            ("memory added, MiB", lambda r: _number(r.memory_mib, 0)),
        ]
        columns = [["", *(name for name, _ in rows)]]
        columns += [[result.model, *(text(result) for _, text in rows)] for result in self.results]
        widths = [max(map(len, column)) for column in columns]
        lines = []
        for row in zip(*columns, strict=True):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
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
) -> SpeedReport:
    """Measure models beside one another, in turns, so that what else the machine does falls on all of them.

    Args:
        models: what `Detector` opens.
        images: a JPEG file or a folder of them; default: four that are drawn.
        rounds: how often each model sees an image.
        batch_size: for the figures in images a second.
        threads: of the networks; default: the environment's OMP_NUM_THREADS, else that of each runtime.
        device: where they run ("cpu", "cuda"); default: a GPU where there is one, for torch's files.

    Raises:
        ValueError, ImportError, OSError: what `Detector` says of a model, and what reading says of an image.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder if images is None else images)
        if images is None:
            _draw_images(given)
        files = list_images(given) if given.is_dir() else [given]
        measured = []
        for name in models:
            before = _resident()
            detector = Detector(name, threads=threads, device=device, batch_size=batch_size)
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
        self.part = part
        self.seconds = 0.0
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
        self.detector, self.memory = detector, memory
        self.runtime = detector.runtime
        self.seconds: dict[str, list[float]] = {key: [] for key in (*STAGES, "latency")}

    def look(self, path: Path, *, counts: bool) -> None:
        """Time one image, as a whole and in parts."""
        whole, decode = _Clocked(self.detector), _Clocked(read_image)
        whole(path)
        image = decode(path)
        warp, rest = _Clocked(self.runtime.preprocessing), _Clocked(self.detector)
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
        network = _Clocked(self.runtime)
        alone = []
        for _ in range(batches):
            network(inputs, self.detector.num_detections)
            alone.append(network.seconds)
        return ModelSpeed(
            model=Path(self.detector.name).name,
            runtime=type(self.runtime).__name__.removesuffix("Runtime"),
            input_size=(inputs.shape[1], inputs.shape[2]),
            stages={key: Timing.of(self.seconds[key]) for key in STAGES},
            latency=Timing.of(self.seconds["latency"]),
            images_per_second=len(files) / stream.seconds,
            cpu_ms=1000 * cpu / len(files),
            network_per_second=batch_size / statistics.median(alone),
            memory_mib=None if self.memory is None else self.memory / 2**20,
            gflop=_gflop(self.runtime, inputs[:1]),
        )


def _draw_images(folder: Path) -> None:
    """Write four JPEG files with the spectrum of photographs: noise whose detail is fainter the finer it is."""
    rng = np.random.default_rng(0)
    for number in range(4):
        image = np.full((480, 640, 3), 128, np.float32)
        for octave in range(8):
            noise = rng.normal(0, 24, (max(2, 480 >> octave), max(2, 640 >> octave), 3)).astype(np.float32)
            image += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC) * (0.25 + octave / 8)
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])


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
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * int(os.sysconf("SC_PAGE_SIZE"))


def _machine(threads: int) -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    except OSError:
        pass
    versions = {
        name: module.__version__
        for name in ("numpy", "onnxruntime", "openvino", "torch")
        if (module := sys.modules.get(name)) is not None
    }
    return {"processor": processor, "cores": os.cpu_count(), "threads": threads or "all", **versions}


def _ms(timing: Timing) -> str:
    return f"{timing.median:.1f} ({timing.p95:.1f})"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
