"""Read one sequence from many containers and codecs, and track it: frames, times, HOTA, and what is written of it.

python benchmarks/video_formats.py --sequence SHARED/data/mot/TUD-Campus --folder /tmp/videos

The frames of the sequence are encoded by PyAV, and by Pillow for the animation. A row is right where the number of
frames is that of the sequence (of the trimmed file the one that PyAV decodes), times are within half a frame of those
that were encoded (of the elementary stream those of a constant rate), HOTA of `centernet track --classes person` is
within .03 of that of the JPEG files (.06 for the animation, which has 256 colours), and the written video lasts as long
as the frames do, to half a frame. One thread; the model is exported to ONNX.

HOTA of a short sequence is coarse: one person who is found later moves it. `noise.mkv` tells how much: the frames
themselves without loss, but for noise of 41 dB, which is what the encoders lose. The files called `fine` lose less.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from centernet.evaluation.tracking import evaluate_tracking
from centernet.inference import frames, open_source

RATE = 25
HALF = 0.5 / RATE
Images = Sequence[NDArray[np.uint8]]
Times = list[float]


@dataclass(frozen=True)
class Form:
    """A way to encode a video; `write` returns the places of the frames in the sequence, and their times."""

    file: str
    write: Callable[[Path, Images], tuple[list[int], Times]]
    limit: float = 0.03  # of HOTA


def encoded(
    codec: str, form: str | None = None, pixels: str = "yuv420p", steps: Sequence[int] = (5,), turned: int = 0,
    **options: str,
) -> Callable[[Path, Images], tuple[list[int], Times]]:  # fmt: skip
    """Return a function that encodes by PyAV; frames last so many fifths of a usual frame, in turns."""

    def write(path: Path, images: Images) -> tuple[list[int], Times]:
        with av.open(str(path), "w", format=form) as container:
            stream: Any = container.add_stream(codec, rate=RATE, options=options)
            stored = [np.ascontiguousarray(np.rot90(image, turned // 90)) for image in images]
            stream.height, stream.width = stored[0].shape[:2]
            stream.pix_fmt = pixels
            if len(steps) > 1:
                stream.codec_context.time_base = Fraction(1, 5 * RATE)
            if turned:
                stream.set_display_rotation(-turned)
            tick, times = 0, []
            for number, image in enumerate(stored):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = tick, Fraction(1, 5 * RATE)
                times.append(tick / (5 * RATE))
                tick += steps[number % len(steps)]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return list(range(len(images))), times

    return write


def trimmed(path: Path, images: Images) -> tuple[list[int], Times]:
    """Cut the first half off without encoding: packets stay, an edit list says where to begin."""
    whole = path.with_name("whole.mp4")
    encoded("libx264", crf="12")(whole, images)
    start = len(images) // 2
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                shift = round(Fraction(start, RATE) / packet.time_base)
                packet.dts, packet.pts, packet.stream = packet.dts - shift, packet.pts - shift, stream
                container.mux(packet)
    with av.open(str(path)) as container:
        count = sum(1 for _ in container.decode(video=0))
    return list(range(len(images) - count, len(images))), [i / RATE for i in range(count)]


def animated(path: Path, images: Images) -> tuple[list[int], Times]:
    """Write a GIF, each frame with its own 256 colours."""
    first, *others = [Image.fromarray(image).quantize(256) for image in images]
    first.save(path, save_all=True, append_images=others, duration=1000 // RATE, loop=0)
    return list(range(len(images))), [i / RATE for i in range(len(images))]


def noisy(path: Path, images: Images) -> tuple[list[int], Times]:
    """Encode without loss what has noise of 41 dB."""
    random = np.random.default_rng(2)
    changed = [(image + random.normal(0, 2.3, image.shape)).clip(0, 255).round().astype(np.uint8) for image in images]
    return encoded("ffv1", pixels="bgr0")(path, changed)


FORMS = (
    Form("h264.mp4", encoded("libx264", crf="12")),
    Form("hevc.mp4", encoded("libx265", crf="12", **{"x265-params": "log-level=error"})),
    Form("hevc10.mp4", encoded("libx265", pixels="yuv420p10le", crf="12", **{"x265-params": "log-level=error"})),
    Form("av1.mp4", encoded("libsvtav1", crf="20", preset="8")),
    Form("h264.mov", encoded("libx264", crf="12")),
    Form("vfr.mkv", encoded("libx264", crf="12", steps=(4, 6, 3, 7, 5))),
    Form("vp9.webm", encoded("libvpx-vp9", crf="20", b="0", deadline="realtime", **{"cpu-used": "6"})),
    Form("mjpeg.avi", encoded("mjpeg", pixels="yuvj420p", qmin="2", qmax="3")),
    Form("h264.ts", encoded("libx264", "mpegts", crf="12")),
    Form("h264.m2ts", encoded("libx264", "mpegts", crf="12")),
    Form("wmv2.asf", encoded("wmv2", "asf", b="4000000")),
    Form("elementary.h264", encoded("libx264", "h264", crf="12")),
    Form("animation.gif", animated, limit=0.06),
    Form("rotated.mp4", encoded("libx264", crf="12", turned=90)),
    Form("trimmed.mp4", trimmed),
    Form("without_suffix", encoded("libx264", "mp4", crf="12")),
    Form("hevc_fine.mp4", encoded("libx265", crf="0", **{"x265-params": "log-level=error"})),
    Form("hevc10_fine.mp4", encoded("libx265", pixels="yuv420p10le", crf="0", **{"x265-params": "log-level=error"})),
    Form("av1_fine.mp4", encoded("libsvtav1", crf="2", preset="8")),
    Form("noise.mkv", noisy),
)


def track(source: Path, model: Path, output: Path, options: Sequence[str]) -> None:
    command = ["track", str(source), "--model", str(model), "--classes", "person", "--output", str(output), *options]
    run = [sys.executable, "-m", "centernet", *command]
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"error: {' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}")


def hota(truth: Path, rows: Path, places: list[int], folder: Path) -> float:
    """Return HOTA of a tracker's file against the truth of the frames that it has."""
    numbers = {place + 1: number for number, place in enumerate(places, 1)}
    kept = []
    for line in truth.read_text().splitlines():
        number, rest = line.split(",", 1)
        if int(number) in numbers:
            kept.append(f"{numbers[int(number)]},{rest}\n")
    part = folder / "truth.txt"
    part.write_text("".join(kept))
    (figures,) = evaluate_tracking(part, rows).classes.values()
    (values,) = [value for key, value in figures.items() if key != "all"][:1] or [figures]
    return float(np.mean(values["HOTA"]))


def some_of(sequence: Path, places: list[int], folder: Path) -> Path:
    """Return a folder with some of the JPEG files of a sequence, by links."""
    part = folder / f"jpeg_{len(places)}"
    part.mkdir(exist_ok=True)
    files = sorted((sequence / "img1").glob("*.jpg"))
    for place in places:
        if not (part / files[place].name).exists():
            (part / files[place].name).symlink_to(files[place].resolve())
    return part


def written(path: Path) -> tuple[Times, float]:
    """Return the times of the frames of a written video, and how long it says that it lasts."""
    with av.open(str(path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
        return times, float(container.streams.video[0].duration * container.streams.video[0].time_base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", type=Path, required=True, help="folder with img1 and gt/gt.txt")
    parser.add_argument("--folder", type=Path, required=True, help="for the files that are made")
    parser.add_argument("--model", default="voc-lite", help="name of a packaged model; default: %(default)s")
    parser.add_argument("--options", default="", help="of `centernet track`, in one string; default: none")
    parser.add_argument("--forms", default=",".join(form.file for form in FORMS), help="default: all")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    model, truth = given.folder / f"{given.model}.onnx", given.sequence / "gt" / "gt.txt"
    if not model.exists():
        command = [sys.executable, "-m", "centernet", "export", given.model, "--output", str(model)]
        subprocess.run(command, check=True, capture_output=True)
    images = [frame.image for frame in frames(given.sequence)]
    print(f"{given.sequence.name}: {len(images)} frames; PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}")
    options = [*given.options.split(), "--format", "mot,video"]
    base: dict[int, float] = {}  # HOTA of the JPEG files, by the number of frames
    print("| file | frames | time off, at most, ms | HOTA | written: time off, ms | duration off, ms | right |")
    print("|---|---|---|---|---|---|---|", flush=True)
    wrong = 0
    for form in FORMS:
        if form.file not in given.forms.split(","):
            continue
        path, output = given.folder / form.file, given.folder / f"tracks_{form.file}"
        places, times = form.write(path, images)
        found = [frame.time for frame in frames(path)]
        off = max((abs((a or 0) - b) for a, b in zip(found, times, strict=False)), default=np.inf)
        track(path, model, output, options)
        if len(places) not in base:
            jpeg, found_there = some_of(given.sequence, places, given.folder), given.folder / f"tracks_{len(places)}"
            track(jpeg, model, found_there, [*options, "--frame-rate", str(RATE)])
            base[len(places)] = hota(truth, found_there / "tracks.txt", places, given.folder)
        value = hota(truth, output / "tracks.txt", places, given.folder)
        shown, duration = written(output / "tracks.mp4")
        shown_off = max((abs(a - b) for a, b in zip(shown, times, strict=False)), default=np.inf)
        last = open_source(path).frame_rate or RATE
        duration_off = abs(duration - (times[-1] + 1 / last))
        right = (
            len(found) == len(places) == len(shown)
            and max(off, shown_off, duration_off) <= HALF
            and abs(value - base[len(places)]) <= form.limit
        )
        wrong += not right
        ms = [f"{1000 * seconds:.1f}" for seconds in (off, shown_off, duration_off)]
        compared = f"{value:.3f}, JPEG {base[len(places)]:.3f}"
        cells = [form.file, f"{len(found)} of {len(places)}", ms[0], compared, *ms[1:], "yes" if right else "NO"]
        print(f"| {' | '.join(cells)} |", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
