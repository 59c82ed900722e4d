"""`centernet track SOURCE`: objects with identities in a video, a folder of frames or a camera's pictures.

centernet track street.mp4 --model best.ckpt --output tracks
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centernet.annotations.mot import SequenceInfo
    from centernet.detections import Detections
    from centernet.images import ImageError
    from centernet.inference import Frame, Writer
    from centernet.tracking import Tracker

FORMATS = ("mot", "json", "video", "pictures")
MOST_FRAMES = 10_000_000  # a number beyond is no frame's: four days at 30 frames a second
EPILOG = """examples:
  centernet track street.mp4 --model best.ckpt --classes person,car
  centernet track MOT17-02/img1 --preset bytetrack --format mot,json
  centernet track 0                                        the first camera, until Ctrl-C
  centernet track --detections MOT17-02/det/det.txt        without a network
  centernet track MOT17-02 --detections MOT17-02/det/det.txt --format mot,video

mot: MOTChallenge's text, frame,id,left,top,width,height,score,-1,-1,-1, frames and pixels counted from 1; where several
classes are tracked, column 8 is the class, counted from 1.
json: one file in COCO's form, with a track_id in each annotation. video: H.264 where an encoder is installed
(pip install 'centernet[video]'), else VP8. What was tracked before an interruption is in the files."""


@dataclass
class _Job:
    """What is to be tracked.

    Attributes:
        tracked: frames with their tracks.
        class_names: by label.
        frame_rate: frames per second.
        total: number of frames, where it is known.
        live: frames come until somebody stops them.
        unreadable: grows with the pictures that were left out.
    """

    tracked: Iterator[tuple[Frame, Detections]]
    class_names: Sequence[str]
    frame_rate: float
    total: int | None
    live: bool
    unreadable: list[ImageError]


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 where a picture could not be read; the others are written all the same.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.source is None and given.detections is None:
        parser.error("give a SOURCE, or --detections with a det.txt")
    if given.detections is not None and len(given.classes or []) > 1:
        parser.error("--detections: all boxes of such a file are of one class; --classes may name that one")
    formats = given.format or (["mot"] if given.source is None else ["mot", "video"])
    if given.source is None and {"video", "pictures"} & set(formats):
        parser.error("--format video and pictures draw on the frames: give their folder or video as the SOURCE, too")
    job = _job_of_detections(given) if given.detections else _job_of_model(given)

    from centernet.inference import CocoWriter, MotWriter, PictureWriter, VideoWriter

    output: Path = given.output
    writers: dict[str, Writer] = {
        "mot": MotWriter(output / "tracks.txt", with_classes=len(given.classes or job.class_names) > 1),
        "json": CocoWriter(output / "tracks.json", job.class_names),
        "video": VideoWriter(output / "tracks", frame_rate=job.frame_rate),
        "pictures": PictureWriter(output / "pictures"),
    }
    try:
        _write(job, [writers[name] for name in formats])
    except KeyboardInterrupt:
        if not job.live:
            raise
    return 1 if job.unreadable else 0


def _write(job: _Job, writers: Sequence[Writer]) -> None:
    """Hand every frame to the writers, and say in the end, whatever it is, what was written."""
    from centernet.cli.progress import Progress

    progress = Progress(job.total)
    identities: set[int] = set()
    try:
        with ExitStack() as stack:
            for frame, tracks in job.tracked:
                for writer in writers:
                    if not progress.done:  # nothing is made, or written over, before there is something to write
                        stack.enter_context(writer)
                    writer.write(frame, tracks)
                progress.advance()
                assert tracks.track_ids is not None
                identities.update(tracks.track_ids.tolist())
    finally:
        progress.close()
        frames = f"{progress.done} {'frame' if progress.done == 1 else 'frames'}"
        print(f"{len(identities)} {'identity' if len(identities) == 1 else 'identities'} in {frames}")
        if job.unreadable:
            print(f"{len(job.unreadable)} pictures could not be read; the reasons are above")
        if progress.done:
            print("wrote " + ", ".join(writer.summary() for writer in writers))


def _job_of_model(given: argparse.Namespace) -> _Job:
    """Tracks of what a network finds."""
    from centernet.inference import Detector, track
    from centernet.inference.sources import count, is_live
    from centernet.inference.tracking import frame_rate

    source, info = _source(given.source)
    total = count(source)  # before the model is read: a wrong path is told at once
    rate = given.frame_rate or (info.frame_rate if info else frame_rate(source)) or 30.0
    detector = Detector(
        given.model,
        score_threshold=0.0,  # the tracker has its own
        num_detections=given.num_detections,
        batch_size=given.batch_size,
        device=given.device,
        threads=given.threads,
        classes=given.classes,
    )
    tracker = _tracker(given, rate, detector.tracker)
    unreadable: list[ImageError] = []

    def left_out(error: ImageError) -> None:
        unreadable.append(error)
        print(f"left out: {error}", file=sys.stderr)

    tracked = track(detector, tracker, source, on_error=left_out)
    return _Job(tracked, detector.class_names, rate, total, is_live(source), unreadable)


def _job_of_detections(given: argparse.Namespace) -> _Job:
    """Tracks of the detections of a file."""
    from centernet.data import DataError, read_mot_detections
    from centernet.inference.sources import count
    from centernet.inference.tracking import frame_rate

    source, info = (None, None) if given.source is None else _source(given.source)
    found = read_mot_detections(given.detections, class_names=given.classes or ["pedestrian"])
    info = info or _sequence_info(given.detections.parent) or _sequence_info(given.detections.parent.parent)
    last = max([*found, (info.length if info else None) or 0])
    if min(found, default=1) < 1 or last > MOST_FRAMES:
        wrong = min(found) if min(found) < 1 else last
        raise DataError(f"{given.detections}: frame {wrong}: expected frames numbered from 1 to {MOST_FRAMES} at most")
    stated = info.frame_rate if info else None if source is None else frame_rate(source)
    rate = given.frame_rate or stated or 30.0
    tracker = _tracker(given, rate)
    names = next((detections.class_names for detections in found.values()), ())
    if source is None:
        tracked = _without_pictures(found, last, info.size_hw if info else None, tracker)
        return _Job(tracked, names, rate, last, False, [])
    return _Job(_with_pictures(found, source, tracker, given.detections), names, rate, count(source), False, [])


def _without_pictures(
    found: dict[int, Detections], last: int, size_hw: tuple[int, int] | None, tracker: Tracker
) -> Iterator[tuple[Frame, Detections]]:
    """Frames by number, of the size that is stated, else of one that holds all boxes."""
    import numpy as np

    from centernet.detections import Detections
    from centernet.inference import Frame

    if size_hw is None:
        corners = [detections.bboxes[:, 2:].max(axis=0, initial=1) for detections in found.values()]
        width, height = np.ceil(np.max(corners or [[1, 1]], axis=0)).astype(int).tolist()
        size_hw = (height, width)
    blank = np.broadcast_to(np.zeros(3, dtype=np.uint8), (*size_hw, 3))
    for number in range(1, last + 1):
        tracks = tracker.update(found.get(number, Detections.empty()))
        yield Frame(blank, f"{number:06d}", None, number - 1), tracks


def _with_pictures(
    found: dict[int, Detections], source: Any, tracker: Tracker, path: Path
) -> Iterator[tuple[Frame, Detections]]:
    from centernet.detections import Detections
    from centernet.inference import frames

    number = 0
    for frame in frames(source):
        number = frame.index + 1
        yield frame, tracker.update(found.get(number, Detections.empty()), frame.image)
    beyond = [other for other in found if other > number]
    if beyond:
        text = (
            f"{path}: detections of {len(beyond)} frames, {beyond[0]} to {beyond[-1]}, are beyond the {number} frames"
        )
        warnings.warn(f"{text} of {source}; they are left out", stacklevel=2)


def _source(text: str) -> tuple[str | int, SequenceInfo | None]:
    """Where the frames are: the number of a camera, or a path; and what a MOTChallenge sequence says of itself."""
    path = Path(text)
    if text.isdecimal() and not path.exists():
        return int(text), None
    info = _sequence_info(path)
    if info is not None:
        return str(path / info.images), info
    return text, _sequence_info(path.parent) if path.is_dir() else None


def _sequence_info(folder: Path) -> SequenceInfo | None:
    """What seqinfo.ini says, where a folder has one."""
    from centernet.annotations.mot import SequenceInfo
    from centernet.annotations.problems import Reports

    if not (folder / "seqinfo.ini").is_file():
        return None
    report = Reports(strict=False)
    info = SequenceInfo.read(folder, report)
    for problem in report.found:
        print(f"warning: {problem}", file=sys.stderr)
    return info


def _tracker(given: argparse.Namespace, rate: float, own: Mapping[str, Any] | None = None) -> Tracker:
    """As the command line says, else as the model says of itself."""
    from centernet.tracking import Tracker

    options = dict(own or {}) if given.preset is None else {"preset": given.preset}
    try:
        tracker = Tracker(**options, frame_rate=rate)
    except (TypeError, ValueError) as error:
        if given.preset is not None:
            raise
        raise ValueError(
            f"{given.model}: no tracker can be made by what the model says suits it ({error}); choose one by --preset"
        ) from error
    if given.score_threshold is None:
        return tracker
    options |= {"high_score": given.score_threshold, "new_score": given.score_threshold}
    low = tracker.options.low_score
    if low is not None and low >= given.score_threshold:
        options["low_score"] = None
    return Tracker(**options, frame_rate=rate)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet track",
        description="Follow objects through a video, a folder of frames (by name) or a camera's pictures.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE",
        help="video, folder of frames, MOTChallenge sequence, camera's number, or address of a stream",
    )  # fmt: skip
    parser.add_argument(
        "--detections", type=Path, metavar="FILE", help="MOTChallenge's det.txt in the place of a network"
    )
    parser.add_argument(
        "--model",
        default="voc-lite",
        help="what `centernet detect` takes: a checkpoint, an exported file, a name; default: %(default)s",
    )
    parser.add_argument("--preset", help="sort, fairmot, bytetrack or default; default: what the model says of itself")
    parser.add_argument(
        "--frame-rate", type=_rate, metavar="N", help="frames a second; default: what the source says, else 30"
    )
    parser.add_argument(
        "--score-threshold", type=float, metavar="SCORE",
        help="from which on an object starts a track; default: the preset's",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=_names, metavar="LIST",
        help="names of the classes to track, with commas between; with --detections, the name of theirs",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("tracks"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--format", type=_formats, metavar="LIST",
        help=f"some of {','.join(FORMATS)}, with commas between; default: mot,video, without SOURCE mot",
    )  # fmt: skip
    parser.add_argument(
        "--num-detections", type=_positive, default=100, metavar="K", help="at most, a frame; default: %(default)s"
    )
    parser.add_argument(
        "--batch-size", type=_positive, default=8, metavar="N", help="frames at a time; default: %(default)s"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, …; default: a GPU where there is one, for torch's files")
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="of the network; default: OMP_NUM_THREADS, or all"
    )
    return parser


def _formats(text: str) -> list[str]:
    names = _names(text)
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(FORMATS)}")
    return names


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return list(dict.fromkeys(names))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number of frames a second")
    return value
