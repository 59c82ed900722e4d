"""How fast a model is on this machine: from JPEG files to boxes, stage by stage, and the network alone."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from centernet.images import Preprocessing, open_image, read_image
from centernet.inference.detector import Detector
from centernet.inference.exported import thread_count
from centernet.inference.flops import machine_peak, onnx_operations, operations
from centernet.inference.onnx_runtime import open_session
from centernet.inference.opening import Runtime
from centernet.inference.pipeline import pixels_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAGES = ("decode", "warp", "network", "after")
"""JPEG to pixels; pixels to the network's input; the network with the decode of its maps; boxes to the picture's pixels
and the result."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one thing done many times.

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
        return cls(1000 * statistics.median(seconds), 1000 * float(np.percentile(seconds, 95)), 1000 * min(seconds))


@dataclass
class Result:
    """What was measured of one model.

    Attributes:
        model: its name.
        runtime: what runs it.
        input_size: (height, width) of the network's input.
        stages: by `STAGES`, one picture at a time; a peer has `network` alone.
        latency: one JPEG file to its boxes; None for a peer, like the next two.
        images_per_second: JPEG files to boxes, reading ahead, in batches.
        cpu_ms: of all threads, for a picture of these.
        network_per_second: images through the network alone, in batches.
        memory_mib: resident memory that opening and running it has added, with the packages that it was first to need;
            None where the system doesn't say.
        gflop: of an image: 10⁹ products and sums, each counted; None where the runtime doesn't say.
        peak_share: of the machine's measured matrix product that the network reaches, each at its best.
    """

    model: str
    runtime: str
    input_size: tuple[int, int]
    stages: dict[str, Timing] = field(default_factory=dict)
    latency: Timing | None = None
    images_per_second: float | None = None
    cpu_ms: float | None = None
    network_per_second: float | None = None
    memory_mib: float | None = None
    gflop: float | None = None
    peak_share: float | None = None


@dataclass(frozen=True)
class Report:
    """The results of models on one machine, at one time.

    Attributes:
        machine: processor, cores, threads, versions.
        results: in the order of the models.
        peak_gflops: 10⁹ operations a second of the matrix product.
    """

    machine: dict[str, Any]
    results: list[Result]
    peak_gflops: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def table(self) -> str:
        """A column for each model."""
        stages = {"decode": "  JPEG to pixels", "warp": "  to the input", "network": "  network", "after": "  after it"}
        rows: list[tuple[str, Callable[[Result], str]]] = [
            ("runtime", lambda r: r.runtime),
            ("input", lambda r: f"{r.input_size[0]}×{r.input_size[1]}"),
            ("one JPEG to boxes, ms (p95)", lambda r: _ms(r.latency)),
            *((text, lambda r, key=key: _ms(r.stages.get(key))) for key, text in stages.items()),
            ("JPEGs to boxes, a second", lambda r: _number(r.images_per_second)),
            ("  CPU ms each", lambda r: _number(r.cpu_ms)),
            ("network alone, images a second", lambda r: _number(r.network_per_second)),
            ("GFLOP an image", lambda r: _number(r.gflop, 2)),
            ("share of the matrix product's peak", lambda r: "–" if r.peak_share is None else f"{r.peak_share:.0%}"),
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
        peak = "" if self.peak_gflops is None else f"; matrix product {self.peak_gflops:.0f} GFLOP/s"
        machine = ", ".join(f"{key} {value}" if key != "processor" else value for key, value in self.machine.items())
        return "\n".join([*lines, "", f"{machine}{peak}"])


def benchmark(
    models: Sequence[str],
    pictures: Sequence[Path],
    *,
    peers: Sequence[str] = (),
    rounds: int = 30,
    batch_size: int = 8,
    threads: int | None = None,
    device: str | None = None,
) -> Report:
    """Measure models beside one another, in turns, so that what else the machine does falls on all of them.

    Args:
        models: what `Detector` opens.
        pictures: files, JPEGs for the figures to be what they are called.
        peers: ONNX files of other programs; only their networks are timed, at the first model's input size where
            theirs is free.
        rounds: how often each model sees a picture.
        batch_size: for the figures in images a second.
        threads: of the networks.
        device: where they run.

    Raises:
        ValueError, ImportError, OSError: what `Detector` says of a model, and what reading says of a picture.
    """
    measured = []
    for name in models:
        before = _resident()
        detector = Detector(name, threads=threads, device=device, batch_size=batch_size)
        detector(pictures[0])
        measured.append(_Measured(name, detector, _resident() - before if before else None))
    others = [_Peer(name, measured[0].size if measured else (512, 512), threads) for name in peers]
    everyone: list[_Measured | _Peer] = [*measured, *others]
    for i in range(rounds + 3):  # three to warm up
        for one in everyone:
            one.look(pictures[i % len(pictures)], counts=i >= 3)
    number = thread_count(threads)
    on_processor = device in (None, "cpu") and not any(one.on_gpu for one in measured)
    peak = machine_peak(number) if on_processor else None
    results = [one.result(pictures, rounds, batch_size) for one in measured]
    results += [other.result() for other in others]
    for result in results:
        if peak and result.gflop:
            result.peak_share = result.gflop / (result.stages["network"].best / 1000) / (peak / 1e9)
    return Report(_machine(number), results, None if peak is None else peak / 1e9)


class _Clocked:
    """A runtime and its preprocessing, with the seconds that each took last."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.preprocessing = _ClockedPreprocessing(runtime.preprocessing)
        self.class_names = runtime.class_names
        self.seconds = 0.0

    def __call__(self, images: NDArray[np.uint8], num_detections: int) -> Any:
        start = time.perf_counter()
        outputs = self.runtime(images, num_detections)
        self.seconds = time.perf_counter() - start
        return outputs


class _ClockedPreprocessing:
    """A preprocessing, with the seconds that making an input took last."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.preprocessing, name)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        start = time.perf_counter()
        result = self.preprocessing(image)
        self.seconds = time.perf_counter() - start
        return result


class _Measured:
    """A model under measurement."""

    def __init__(self, name: str, detector: Detector, memory: int | None) -> None:
        self.name, self.detector, self.memory = name, detector, memory
        self.runtime = detector.runtime
        self.seconds: dict[str, list[float]] = {key: [] for key in (*STAGES, "latency")}

    @property
    def size(self) -> tuple[int, int]:
        return self.runtime.preprocessing.size

    @property
    def on_gpu(self) -> bool:
        parameters = getattr(getattr(self.runtime, "model", None), "parameters", None)
        return parameters is not None and any(one.is_cuda for one in parameters())

    def look(self, picture: Path, *, counts: bool) -> None:
        """Time one picture, as a whole and in parts."""
        start = time.perf_counter()
        self.detector(picture)
        whole = time.perf_counter() - start
        start = time.perf_counter()
        opened = open_image(picture)
        pixels = pixels_for(opened, self.runtime.preprocessing)
        image = opened.read()[0] if pixels is None else pixels
        decode = time.perf_counter() - start
        clocked: Any = _Clocked(self.runtime)
        self.detector.runtime = clocked
        start = time.perf_counter()
        self.detector(image)
        rest = time.perf_counter() - start - clocked.seconds - clocked.preprocessing.seconds
        self.detector.runtime = self.runtime
        if counts:
            parts = (decode, clocked.preprocessing.seconds, clocked.seconds, rest, whole)
            for key, value in zip(self.seconds, parts, strict=True):
                self.seconds[key].append(value)

    def result(self, pictures: Sequence[Path], rounds: int, batch_size: int) -> Result:
        """Everything, with the figures that need batches."""
        batches = max(2, -(-rounds // batch_size))
        files = [pictures[i % len(pictures)] for i in range(batches * batch_size)]
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in self.detector.stream(files):
            pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        inputs = np.stack([self.runtime.preprocessing(read_image(pictures[0]))] * batch_size)
        alone = list(_times(lambda: self.runtime(inputs, self.detector.num_detections), batches))
        flop = operations(self.runtime, inputs[:1])
        return Result(
            model=Path(self.name).name,
            runtime=type(self.runtime).__name__.removesuffix("Runtime"),
            input_size=(inputs.shape[1], inputs.shape[2]),
            stages={key: Timing.of(self.seconds[key]) for key in STAGES},
            latency=Timing.of(self.seconds["latency"]),
            images_per_second=len(files) / wall,
            cpu_ms=1000 * cpu / len(files),
            network_per_second=batch_size / statistics.median(alone),
            memory_mib=None if self.memory is None else self.memory / 2**20,
            gflop=None if flop is None else flop / 1e9,
        )


class _Peer:
    """Another program's ONNX file: one input, of which free sides are those that are given."""

    def __init__(self, name: str, size: tuple[int, int], threads: int | None) -> None:
        self.path = Path(name)
        self.session = open_session(self.path, threads=threads)
        put, *others = self.session.get_inputs()
        types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
        if others or put.type not in types or len(put.shape) != 4:
            raise ValueError(
                f"{name}: expected one input of four dimensions and the type float, float16 or uint8, got "
                f"{', '.join(f'{one.name} {one.type} {one.shape}' for one in (put, *others))}"
            )
        free = (1, *size, 3) if put.shape[3] == 3 else (1, 3, *size)
        shape = [side if isinstance(side, int) else other for side, other in zip(put.shape, free, strict=True)]
        values = np.random.default_rng(0).random(shape, dtype=np.float32)
        scaled = values * 255 if put.type == "tensor(uint8)" else values
        self.inputs = {put.name: scaled.astype(types[put.type])}
        self.size = (shape[1], shape[2]) if put.shape[3] == 3 else (shape[2], shape[3])
        self.seconds: list[float] = []

    def look(self, picture: Path, *, counts: bool) -> None:
        """Time its network once."""
        taken = list(_times(lambda: self.session.run(None, self.inputs), 1))
        self.seconds += taken if counts else []

    def result(self) -> Result:
        flop = onnx_operations(self.path, self.inputs)
        stages = {"network": Timing.of(self.seconds)}
        return Result(self.path.name, "Onnx, network", self.size, stages, gflop=flop / 1e9)


def _times(work: Callable[[], Any], number: int) -> Iterator[float]:
    for _ in range(number):
        start = time.perf_counter()
        work()
        yield time.perf_counter() - start


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where the system doesn't say."""
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


def _ms(timing: Timing | None) -> str:
    return "–" if timing is None else f"{timing.median:.1f} ({timing.p95:.1f})"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
