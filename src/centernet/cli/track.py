"""`centernet track SOURCE`: objects with identities in a video, a folder of frames or the images of a camera.

centernet track street.mp4 --model best.ckpt --output tracks
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from centernet.cli.arguments import add_options, command_parser, given_options, parameter_texts
from centernet.cli.output import Output, add_detector_options, add_output_options, source_argument
from centernet.detections import Detections
from centernet.inference import CocoWriter, Detector, ImageWriter, MotWriter, VideoWriter, Writer, open_source, track
from centernet.inference.stored_detections import StoredDetections
from centernet.inference.tracking import make_tracker
from centernet.inference.writers import counted
from centernet.tracking import TrackerOptions

FORMATS = ("mot", "json", "video", "images")
DESCRIPTION = "Follow objects through a video, a folder of frames (by name) or the images of a camera."
EPILOG = """examples:
  centernet track street.mp4 --model best.ckpt --classes person,car
  centernet track MOT17-02/img1 --preset bytetrack --lost-seconds 3 --format mot,json
  centernet track 0                                        the first camera, until Ctrl-C
  centernet track --detections MOT17-02/det/det.txt        without a network
  centernet track MOT17-02 --detections MOT17-02/det/det.txt --format mot,video

mot: MOTChallenge's text, frame,id,left,top,width,height,score,-1,-1,-1, frames and pixels counted from 1; where several
classes are tracked, column 8 is the class, counted from 1.
json: one file in COCO's form, with a track_id in each annotation. video: H.264 where an encoder is installed
(pip install 'centernet[video]'), else VP8. What was tracked before an interruption is in the files."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 where an image could not be read: the others are written all the same."""
    parser = _parser()
    given = parser.parse_args(arguments)
    classes: list[str] = getattr(given, "classes", None) or []
    formats: list[str] = given.format or (["mot"] if given.source is None else ["mot", "video"])
    if given.source is None and given.detections is None:
        parser.error("give a SOURCE, or --detections with a det.txt")
    if given.detections is not None and len(classes) > 1:
        parser.error("--detections: all boxes of such a file are of one class; --classes may name that one")
    if given.source is None and {"video", "images"} & set(formats):
        parser.error("--format video and images draw on the frames: give their folder or video as the SOURCE, too")
    source = None if given.source is None else open_source(source_argument(given.source))
    detector: Detector | StoredDetections
    if given.detections is not None:
        detector = StoredDetections(given.detections, source, class_name=classes[0] if classes else None)
        total, stated = detector.length, detector.frame_rate
    else:
        assert source is not None
        total, stated = source.length, source.frame_rate  # before the model is read: a wrong path is told at once
        detector = Detector(score_threshold=0.0, **given_options(given, Detector))  # the tracker has its own
    rate = given.frame_rate or stated or 30.0
    options = given_options(given, TrackerOptions)
    tracker = make_tracker(detector, rate, preset=given.preset, start_score=given.start_score, **options)
    folder: Path = given.output
    writers: dict[str, Writer] = {
        "mot": MotWriter(folder / "tracks.txt", with_classes=len(classes or detector.class_names) > 1),
        "json": CocoWriter(folder / "tracks.json", detector.class_names),
        "video": VideoWriter(folder / "tracks", frame_rate=rate),
        "images": ImageWriter(folder / "images"),
    }
    output = Output(total, "frame", live=source is not None and source.live)
    identities: set[int] = set()

    def see(tracks: Detections) -> None:
        identities.update(one.track_id for one in tracks if one.track_id is not None)

    tracked = track(detector, tracker, source, on_error=output.left_out)
    chosen = [writers[name] for name in formats]
    return output.write(tracked, chosen, see, lambda frames: f"{counted(len(identities), 'identity')} in {frames}")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("track", DESCRIPTION, EPILOG)
    text = "video, folder of frames, MOTChallenge sequence, camera's number, or address of a stream"
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=text)
    text = "MOTChallenge's det.txt in the place of a network"
    parser.add_argument("--detections", type=Path, metavar="FILE", help=text)
    add_output_options(parser, "tracks", FORMATS, None, "mot,video, without SOURCE mot")
    text = "frames per second; default: what the source says, else 30"
    parser.add_argument("--frame-rate", type=_rate, metavar="N", help=text)
    add_detector_options(parser)
    group = parser.add_argument_group("tracker", "Each option differs from what the preset, or the model, says.")
    group.add_argument("--preset", help="sort, fairmot, bytetrack or default; default: what the model says of itself")
    text = "from which on an object starts a track: --high-score and --new-score at once; default: the preset's"
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
