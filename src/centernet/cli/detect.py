"""`centernet detect SOURCE`: objects in images, a folder, a video or the images of a camera.

centernet detect photos --model best.ckpt --output found
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from centernet.annotations.image_names import CocoIds
from centernet.annotations.kitti import calibration_file, read_calibration
from centernet.annotations.problems import DataError
from centernet.boxes3d import IN_SPACE, MEASURED, in_space
from centernet.cli import detect_ray
from centernet.cli.arguments import command_parser, given_options, positive
from centernet.cli.journal import Journal, can_go_on
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
from centernet.column import Column
from centernet.detections import Detections
from centernet.distributed.rows import FORMATS as SHARD_FORMATS
from centernet.inference import (
    BirdsEyeWriter,
    CocoResultsWriter,
    CocoWriter,
    CropWriter,
    CsvWriter,
    CvatWriter,
    Detector,
    Frame,
    ImageWriter,
    KittiWriter,
    LabelmeWriter,
    LabelStudioWriter,
    VideoWriter,
    VocWriter,
    Writer,
    YoloWriter,
)
from centernet.inference.several import open_sources
from centernet.inference.sources import Source
from centernet.inference.writers import counted
from centernet.text import shown

FORMATS = (
    *("images", "video", "json", "csv", "txt", "txt_scores", "voc", "cvat", "label_studio", "labelme", "kitti"),
    *("birds_eye", "crops"),
)
ENGINES = ("local", "ray")
DESCRIPTION = (
    "Find objects in images, folders (by name, without subfolders), patterns, videos, or what a camera or a stream "
    "shows."
)
EPILOG = """examples:
  centernet detect photo.jpg
  centernet detect photos --model best.ckpt --output found --score-threshold 0.5 --format images,json,csv
  centernet detect "shots/**/*.png" --model best.ckpt
  centernet detect clip.mp4 --model best.onnx --classes person,car --labels name
  centernet detect photos --model best.ckpt --format txt,crops   label files to correct, and the objects themselves
  centernet detect 0 --model best.onnx --format csv              the first camera, until Ctrl-C
  centernet detect aerial.tif --model best.onnx --tile           small objects of a big image
  centernet detect image_2 --model best.ckpt --calib calib       boxes in space, of a model that finds them
  centernet detect archive --engine ray --workers 16             a million images; s3://…, tars and Parquet files, too
  centernet detect val2017 --model dla34 --flip --scales 0.5,0.75,1,1.25,1.5 --format json
  centernet detect val2017 --model best.ckpt --format json --annotations instances_val2017.json --score-threshold 0

images: drawings. video: one for each source, with the drawings. json: one file in COCO's form (images, categories from
1, annotations with a score; boxes x y w h). With --annotations it has the ids of images and categories in that file;
results.json is COCO's list of results, for pycocotools or `centernet evaluate`. csv: one row an object, with the
corners x1 y1 x2 y2. Both are in pixels of the images themselves, and have what further heads add (values, points,
boxes), but for vectors such as embeddings. txt: YOLO's label files (class x y width height); txt_scores: with the score
at the end. voc: Pascal VOC's XML. cvat, label_studio, labelme: what these tools open to be corrected. kitti: KITTI's
result files. crops: the objects cut out, in a folder for each class.

With --engine ray, parquet or jsonl: files of some hundred images each, a row an image.

With --calib, a model with a head for boxes in space gives them: in the rows of kitti (which is written then unless
--format says otherwise), in drawings, in json and csv (location: x y z in metres of the bottom's middle, rotation_y),
and seen from above in birds_eye."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 where an image could not be read: the others are written all the same."""
    parser = _parser()
    given = parser.parse_args(arguments)
    detect_ray.check_options(parser, given)
    use_model(given, "detection")
    if given.engine == "ray":
        return detect_ray.run(given)
    named = [source_argument(text) for text in given.source]
    sources = open_sources(named, recursive=given.recursive, every=given.every)
    if len(sources) > 1:  # names of frames that tell which source they are of
        sources = {name: replace(source, folder=None) for name, source in sources.items()}
    inputs = [given.model, given.annotations, given.calib]
    output = Output(sources.values(), "image", inputs=inputs)  # before the model is read: a wrong path is told at once
    drawing = drawing_options(given)
    window = [WindowWriter(**drawing)] if given.show else []
    detector = Detector(**given_options(given, Detector))
    columns = _columns(given, detector)
    with output_folder(given.output, "detections", sources, resume=given.resume) as folder:
        command = ["detect", *(argument for argument in arguments if argument != "--resume")]
        journal = Journal(folder, command, given.model, columns=columns, resume=given.resume)
        return _detect(given, sources, output, detector, folder, journal, window)


def _detect(
    given: argparse.Namespace,
    sources: Mapping[str, Source],
    output: Output,
    detector: Detector,
    folder: Path,
    journal: Journal,
    window: Sequence[Writer],
) -> int:
    """Find the objects of all sources, and write them to a folder."""
    drawing = drawing_options(given)
    names, ids = detector.class_names, None if given.annotations is None else CocoIds.read(given.annotations)
    results = CocoWriter(folder / "detections.json", names, ids=ids)
    images = [item for source in sources.values() if not source.is_moving for item in source.items]
    results.check([str(item) for item in images if isinstance(item, (str, PathLike))])  # before a thing is written
    writers: dict[str, list[Writer]] = {
        "images": [ImageWriter(folder / "images", **drawing)],
        "json": [results, *([CocoResultsWriter(folder / "results.json", ids, names)] if ids else [])],
        "csv": [CsvWriter(folder / "detections.csv", journal.columns)],
        "txt": [YoloWriter(folder / "labels", names)],
        "txt_scores": [YoloWriter(folder / "labels_with_scores", names, with_scores=True)],
        "voc": [VocWriter(folder / "Annotations")],
        "cvat": [CvatWriter(folder / "cvat.xml", names)],
        "label_studio": [LabelStudioWriter(folder / "label_studio.json", detector.name, names)],
        "labelme": [LabelmeWriter(folder / "labelme", names)],
        "kitti": [KittiWriter(folder / "kitti")],
        "birds_eye": [BirdsEyeWriter(folder / "birds_eye")],
        "crops": [CropWriter(folder / "crops")],
    }
    found: Counter[str] = Counter()

    def see(name: str, detections: Detections) -> None:
        found.update(detections.names)
        for one in detections if output.total == 1 else ():
            tell(f"{shown(one.name)} {one.score:.2f}  at {' '.join(f'{v:.0f}' for v in one.bbox)}")

    def headline(images: str) -> str:
        classes = ", ".join(f"{number} {shown(name)}" for name, number in found.most_common(10))
        return f"{counted(found.total(), 'object')} in {images}" + f": {classes}" * bool(found)

    def part(name: str, source: Source) -> Part:
        def stream(source: Source) -> Iterator[tuple[Frame, Detections]]:
            frames = detector.stream(source, on_error=None if output.total == 1 else output.left_out)
            named = _named(frames, name, source)
            return named if given.calib is None else _in_space(named, given.calib)

        usual = ["video" if source.is_moving else "images", "json", *(["kitti"] if given.calib else [])]
        formats: list[str] = given.format or usual
        shared = [writer for kind in formats for writer in writers.get(kind, ())]
        path = folder / (name if len(sources) > 1 else "detections")
        rate = (source.frame_rate or 30.0) / source.every
        own = [VideoWriter(path, frame_rate=rate, audio=given.audio, **drawing)] if "video" in formats else []
        one_by_one = can_go_on(source) and not own
        results = journal.results(name, source, stream, one_by_one=one_by_one)
        if (had := journal.finished.get(name)) is not None and own:
            output.kept += had.wrote
            own = []
        return Part(name, results, [*shared, *window], own, recorded=one_by_one or len(sources) > 1)

    code = output.write((part(name, source) for name, source in sources.items()), see, headline, journal)
    if results.left_out:
        classes = ", ".join(f"{name} {number}" for name, number in results.left_out.most_common(10))
        tell(f"left out of {results.path}, as {given.annotations} does not have their classes: {classes}")
    return code


def _named(frames: Iterable[tuple[Frame, Detections]], name: str, source: Source) -> Iterator[tuple[Frame, Detections]]:
    """Give the frames of a video the name that tells it from others, where two files are called alike."""
    stem = Path(source.items[0]).stem if source.kind == "video" else name  # type: ignore[arg-type]
    for frame, detections in frames:
        if name != stem:
            frame.name = name + frame.name.removeprefix(stem)
        yield frame, detections


def _columns(given: argparse.Namespace, detector: Detector) -> tuple[Column, ...]:
    """Return the columns of what is found; a DataError where boxes in space are asked for and cannot be."""
    if given.calib is None:
        if "birds_eye" in (given.format or ()):
            raise DataError("--format birds_eye: boxes in space need the camera's calibration file; give --calib")
        return tuple(detector.columns)
    if not {column.name for column in detector.columns}.issuperset(MEASURED):
        raise DataError(f"--calib: {given.model} has no head for boxes in space (Box3DHead); leave --calib out")
    if not given.calib.is_dir():
        read_calibration(given.calib)  # it is one: told before a thing is written
    return (*detector.columns, *IN_SPACE)


def _in_space(frames: Iterable[tuple[Frame, Detections]], calib: Path) -> Iterator[tuple[Frame, Detections]]:
    """Add the boxes in space, by the calibration file of each image."""
    for frame, detections in frames:
        file = calibration_file(calib, Path(frame.location if frame.path is None else frame.path))
        yield frame, in_space(detections, read_calibration(file))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("detect", DESCRIPTION, EPILOG)
    text = "image, folder, quoted pattern, video, several of these, a camera's number, or the address of a stream"
    parser.add_argument("source", nargs="+", metavar="SOURCE", help=text)
    add_source_options(parser)
    formats = (*FORMATS, *SHARD_FORMATS)
    add_output_options(parser, "detections", formats, None, "images,json, of a video video,json, of ray parquet")
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE",
        help="COCO's file of annotations of these images: json has its ids",
    )  # fmt: skip
    parser.add_argument(
        "--calib", type=Path, metavar="PATH",
        help="KITTI's calibration file of the camera, or a folder with one for each image or sequence: boxes in space",
    )  # fmt: skip
    text = "ray: many workers, on this machine or the cluster that RAY_ADDRESS names; default: %(default)s"
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=text)
    text = "of --engine ray: processes with a detector each; default: one for each processor"
    parser.add_argument("--workers", type=positive, metavar="N", help=text)
    text = f"of --engine ray: images of one file of results; default: {detect_ray.SHARD_SIZE}"
    parser.add_argument("--shard-size", type=positive, metavar="N", help=text)
    add_detector_options(parser, "score_threshold", "flip", "scales", "soft_nms")
    return parser
