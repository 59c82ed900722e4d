"""`centernet track SOURCE`: objects with identities in a video, a folder of frames or the images of a camera.

centernet track street.mp4 --model best.ckpt --output tracks
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from centernet.cli.arguments import add_options, command_parser, given_options, parameter_texts
from centernet.cli.journal import Journal
from centernet.cli.log import tell
from centernet.cli.output import (
    Output,
    Part,
    add_detector_options,
    add_output_options,
    add_source_options,
    drawing_options,
    output_folder,
    source_argument,
    use_model,
)
from centernet.cli.show import WindowWriter
from centernet.detections import Detections
from centernet.inference import (
    CocoWriter,
    CropWriter,
    CsvWriter,
    Detector,
    ImageWriter,
    MotWriter,
    VideoWriter,
    Writer,
    track,
)
from centernet.inference.several import open_sources
from centernet.inference.sources import Source
from centernet.inference.stored_detections import StoredDetections
from centernet.inference.tracking import make_tracker
from centernet.inference.writers import counted
from centernet.tracking import TrackerOptions

FORMATS = ("mot", "json", "csv", "video", "images", "crops")
DESCRIPTION = "Follow objects through videos, folders of frames (by name) or the images of a camera."
EPILOG = """examples:
  centernet track street.mp4 --model best.ckpt --classes person,car
  centernet track MOT17-02/img1 --preset bytetrack --lost-seconds 3 --format mot,json
  centernet track clips --every 2                          each video of a folder, every second frame
  centernet track MOT17/train --sequences --format mot     each sequence of a folder
  centernet track 0                                        the first camera, until Ctrl-C
  centernet track --detections MOT17-02/det/det.txt        without a network
  centernet track MOT17-02 --detections MOT17-02/det/det.txt --format mot,video

Identities and numbers of frames begin anew with each of several sources, which gets files of its own, by its name.

mot: MOTChallenge's text, frame,id,left,top,width,height,score,-1,-1,-1, frames and pixels counted from 1, as TrackEval
reads it; --class-column for several classes.
json: one file in COCO's form, with a track_id in each annotation. csv: one row an object. video: H.264 where an encoder
is installed (pip install 'centernet[video]'), else VP8. What was tracked before an interruption is in the files."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 where an image could not be read: the others are written all the same."""
    parser = _parser()
    given = parser.parse_args(arguments)
    classes: list[str] = getattr(given, "classes", None) or []
    formats: list[str] = given.format or (["mot", "video"] if given.source else ["mot"])
    if not given.source and given.detections is None:
        parser.error("give a SOURCE, or --detections with a det.txt")
    if given.detections is not None and len(classes) > 1:
        parser.error("--detections: all boxes of such a file are of one class; --classes may name that one")
    if not given.source and {"video", "images", "crops"} & set(formats):
        parser.error("--format video, images and crops need the frames: give their folder or video as the SOURCE, too")
    if not given.source and (given.every > 1 or given.sequences or given.recursive or given.show):
        parser.error("--every, --sequences, --recursive and --show need the frames: give them as the SOURCE, too")
    named = [source_argument(text) for text in given.source]
    sources = open_sources(named, sequences=given.sequences, recursive=given.recursive, every=given.every)
    if given.detections is not None and len(sources) > 1:
        parser.error(f"--detections: such a file is of one source, and these are {len(sources)}: {', '.join(sources)}")
    # The sources are looked at before the model is read: a wrong path is told at once.
    stretches: list[tuple[str, Source | None]] = [*sources.items()] or [("tracks", None)]
    detector: Detector | StoredDetections
    drawing = drawing_options(given)
    window = [WindowWriter(**drawing)] if given.show else []
    if given.detections is not None:
        ((_, source),) = stretches
        detector = StoredDetections(given.detections, source, class_name=classes[0] if classes else None)
        output = Output(sources.values(), "frame", detector.length, inputs=[given.detections])
    else:
        use_model(given, "tracking")
        output = Output(sources.values(), "frame", inputs=[given.model])
        detector = Detector(score_threshold=0.0, **given_options(given, Detector))  # the tracker has its own
    with output_folder(given.output, "tracks", sources, resume=given.resume) as folder:
        command = ["track", *(argument for argument in arguments if argument != "--resume")]
        model = given.model if given.detections is None else given.detections
        journal = Journal(folder, command, model, resume=given.resume)
        return _track(given, stretches, formats, output, detector, folder, journal, window)


def _track(
    given: argparse.Namespace,
    stretches: Sequence[tuple[str, Source | None]],
    formats: Sequence[str],
    output: Output,
    detector: Detector | StoredDetections,
    folder: Path,
    journal: Journal,
    window: Sequence[Writer],
) -> int:
    """Follow the objects of all sources, and write them to a folder."""
    drawing = drawing_options(given)
    parts = []
    for name, source in stretches:
        rate = _frame_rate(name, given.frame_rate, source, detector)
        audio = given.audio and _keeps_pace(source, given.frame_rate)
        if given.audio and not audio and "video" in formats:
            tell(f"{name}: the video is written without the sound, which would not fit this frame rate")
        source = replace(source, rate=given.frame_rate) if source and given.frame_rate else source
        options = given_options(given, TrackerOptions)
        tracker = make_tracker(detector, rate, preset=given.preset, start_score=given.start_score, **options)
        from_folder = given.sequences or (source and source.kind == "video" and Path(given.source[0]).is_dir())
        alone = len(stretches) == 1 and not from_folder
        stem = "tracks" if alone else name
        writers: dict[str, Writer] = {
            "mot": MotWriter(folder / f"{stem}.txt", with_classes=given.class_column),
            "json": CocoWriter(folder / f"{stem}.json", detector.class_names),
            "csv": CsvWriter(folder / f"{stem}.csv", detector.columns),
            "video": VideoWriter(folder / stem, frame_rate=rate / given.every, audio=audio, **drawing),
            "images": ImageWriter(folder / "images" / ("" if alone else name), **drawing),
            "crops": CropWriter(folder / "crops" / ("" if alone else name)),
        }
        tracked = track(detector, tracker, source, on_error=output.left_out)
        parts.append(Part(name, tracked, window, [writers[kind] for kind in formats]))
    had = journal.finished.items()
    identities = {(name, identity) for name, finished in had for identity in finished.track_ids}
    tracked_classes = {class_name for _, finished in had for class_name in finished.class_names}

    def see(name: str, tracks: Detections) -> None:
        identities.update((name, one.track_id) for one in tracks if one.track_id is not None)
        tracked_classes.update(tracks.names)

    code = output.write(parts, see, lambda frames: f"{counted(len(identities), 'identity')} in {frames}", journal)
    if "mot" in formats and len(tracked_classes) > 1 and not given.class_column:
        tell(f"mot has no classes, and these were tracked: {', '.join(sorted(tracked_classes))}; --class-column has")
    return code


def _frame_rate(name: str, given: float | None, source: Source | None, detector: Detector | StoredDetections) -> float:
    """Return the frame rate of a source, and say where it is from."""
    stated = detector.frame_rate if isinstance(detector, StoredDetections) else source and source.frame_rate
    by = "the video" if source and source.kind in ("video", "stream") else "seqinfo.ini"
    where = "as --frame-rate says" if given else f"as {by} states" if stated else "assumed: --frame-rate N says another"
    rate = given or stated or 30.0
    read = f", one of {source.every} is read" if source and source.every > 1 else ""
    tell(f"{name}: {rate:.6g} frames a second, {where}{read}")
    return rate


def _keeps_pace(source: Source | None, given: float | None) -> bool:
    """Return False for a video that --frame-rate plays at another speed than its own."""
    own = source.frame_rate if source and source.kind == "video" else None
    return not (given and own) or abs(given / own - 1) < 0.01


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("track", DESCRIPTION, EPILOG)
    text = "video, folder of frames or of videos, MOTChallenge sequence, several of these, a camera's number, or stream"
    parser.add_argument("source", nargs="*", metavar="SOURCE", help=text)
    text = "each folder in SOURCE is a sequence: of frames, or with its frames in img1 as MOTChallenge has them"
    parser.add_argument("--sequences", action="store_true", help=text)
    add_source_options(parser)
    text = "mot: the class in column 8, from 1, as `evaluate-tracking` reads several; TrackEval takes only -1 there"
    parser.add_argument("--class-column", action="store_true", help=text)
    text = "MOTChallenge's det.txt in the place of a network"
    parser.add_argument("--detections", type=Path, metavar="FILE", help=text)
    add_output_options(parser, "tracks", FORMATS, None, "mot,video, without SOURCE mot")
    text = "frames per second; default: what the source says, else 30"
    parser.add_argument("--frame-rate", type=_rate, metavar="N", help=text)
    add_detector_options(parser)
    group = parser.add_argument_group("tracker", "Each option differs from what the preset, or the model, says.")
    group.add_argument("--preset", help="sort, fairmot, bytetrack or default; default: what the model says of itself")
    text = "from which on an object starts a track: --high-score and --new-score at once; default: as suits the model"
    group.add_argument("--score-threshold", dest="start_score", type=float, metavar="SCORE", help=text)
    texts = parameter_texts(TrackerOptions).items()
    add_options(
        group, TrackerOptions, help={name: f"{text.rstrip('.')}; default: the preset's" for name, text in texts}
    )
    return parser


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number of frames a second")
    return value
