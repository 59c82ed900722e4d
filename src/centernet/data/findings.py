"""The report on data sets: findings by kind, and figures by split."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from ..images import Preprocessing
from .dataset import DetectionDataset
from .tally import Tally

Severity: TypeAlias = Literal["error", "warning", "note"]

RARE = 2
"""A class with so few objects, or fewer, is likelier a wrong label than something to learn."""

_ERRORS = {
    "unusable": "splits that cannot be used. Nothing of them can be read: what each lacks is said with it.",
    "unread-annotation": "files that look like annotations and were not read, and empty folders. Choose another format "
    "(--format), add them (--splits), put them right or move them away; with --format or --splits it is a warning.",
    "missing-image": "missing images. The samples are left out: put the names right, or give the folder of the images "
    "(--images; `images` in a configuration).",
    "missing-annotation": "images without annotation. The samples are left out: add their files, empty ones where "
    "there is no object.",
    "unreadable-image": "unreadable images. In training another image takes its place, in evaluation it is left out.",
    "unreadable-annotation": "unreadable annotations. The samples are left out: export them again.",
    "empty-annotation": "empty files of annotations. Their images count as ones without objects: are the files whole?",
    "duplicate": "samples listed twice. They count once, with the boxes of all ids of a file: take the others out.",
    "wrong-size": "images of another size than annotated. Boxes are taken as they are and cut at the real edges: were "
    "they drawn on another version of the image, or before it was turned upright?",
    "inverted-box": "inverted boxes. They are left out: is the order of the corners right?",
    "empty-box": "boxes without area. They are left out: draw them anew, or delete them.",
    "outside-box": "boxes outside their images. They are left out: are they another image's, or a larger one's?",
    "bad-box": "boxes that are no four numbers. They are left out: export them again, or put them right.",
    "bad-row": "broken lines. They are left out: export the file again, or put them right.",
    "unknown-class": "unknown classes. Their boxes are left out: add them to the classes, or put their names right.",
    "unknown-image": "annotations of unknown images. They are left out: is the list of images whole?",
    "all-ignored": "files in which every box is a region to ignore. There is nothing to learn: is the flag right?",
    "unknown-key": "misspelt keys. What they say is not used: spell them as suggested.",
    "bad-keypoints": "keypoints that are not as many as their names, no numbers, or of no visibility 0, 1, 2. They "
    "count as not labelled, their boxes are used: export them again, or put them right.",
    "keypoint-outside-image": "keypoints outside of their images. They count as not labelled: were they drawn on "
    "another version of the image?",
    "duplicate-box": "objects annotated twice. Evaluation counts one of them as missed: delete it.",
    "normalised-boxes": "boxes that look normalised. Boxes are expected in pixels, not as shares of the image: "
    "multiply them with its size, or choose the format that has shares.",
    "class-count": "another number of classes than the model's. Training will not start: give both the same classes.",
    "class-list": "classes that the training data lack. Training will not start; give all splits the same class_names.",
    "no-objects": "splits without any object. There is nothing to learn, or to evaluate: are these their annotations?",
    "copied-folder": "folders that hold the images and boxes of another. They count twice: leave one out.",
    "same-image": "images in two splits. Evaluation on what was trained on flatters: take them out of one.",
}
_WARNINGS = {
    "near-duplicate": "near-duplicates across splits. Copies, resized images or neighbouring frames: evaluation "
    "flatters. Split by source or by video.",
    "size": "image sizes not stated. They are read from the images; other programs may fail.",
    "image-name": "names of images that are no paths. Images that end like them are used: are they the right ones?",
    "left-out-shape": "shapes that have no box. Lines, points and tags are left out.",
    "not-annotated": "images that nobody has annotated. They are left out; submit background without an object.",
    "one-of-several": "annotations of one thing by several. Only one of them counts.",
    "image-id": "image ids. Images are numbered anew.",
    "unknown-value": "values that a flag cannot have. They count as not set: write 0 or 1.",
    "pixel-numbering": "boxes whose pixels look numbered in another way than the format's. They are read in the "
    "format's, a pixel beside: does the program that wrote them count from 0 or from 1?",
    "value-range": "images of more than 8 bits that do not state their range. Each is brightened by its own largest "
    "value: save them with 8 bits, or state the range (TIFF's MaxSampleValue, PNG's sBIT).",
    "left-unread": "images of which a part is not read: further frames or pages, bands beside the colours. Save "
    "frames as images of their own; declare alpha (TIFF's ExtraSamples).",
    "left-out-file": "files that look like annotations and are not in the format or splits asked for.",
    "mislabelled-file": "names that say another image format. They are read by their content.",
    "keypoint-outside-box": "keypoints far outside of their boxes. They are trained as they are: another object's?",
    "swapped-keypoints": "pairs of keypoints that may have left and right exchanged. Left is the object's own left.",
    "no-pairs": "keypoints without left and right. Mirrored images exchange none: name the pairs (flip_idx of YOLO, "
    "left_ and right_ in their names), or augment without flip.",
    "no-keypoints": "objects without a labelled keypoint. They train their boxes alone.",
    "ambiguous-box": "boxes with two classes. Which of them is it?",
    "absent-class": "classes without an object. They cannot be learned: leave them out of class_names, or add some.",
    "rare-class": f"classes of at most {RARE} objects. Too few to learn: a wrong or misspelt label?",
    "box-convention": "many boxes over the edge. They are cut there. Is the convention right (corners, or a corner and "
    "the size)?",
    "small-objects": "objects smaller than a cell of the output. They are seldom found: use a larger input, or tiles.",
    "shared-cell": "objects hidden in another's centre cell. Two objects of a class with one centre cell have one "
    "peak: use a larger input.",
}
_NOTES = {
    "left-out-class": "classes left out. They are not in class_names, or are no classes but words over others.",
    "left-out-image": "images of other splits. One folder holds those of all.",
    "box-of-outline": "boxes that are not in the file. They are those around the outlines that it has.",
    "id-as-text": "ids that are text in one place and numbers in another. They are taken for the same.",
    "not-used": "what a format says beside boxes and classes. It is not used.",
    "assumed": "what files do not say themselves. They are read in the way that is stated.",
}
KINDS = _ERRORS | _WARNINGS | _NOTES
"""The kinds of findings in the order in which they are shown: what they are, and then what the trainer does about them
or what to do. An error is skipped or trained wrongly, a warning deserves a look, a note is a figure."""
_IMAGE_LEFT_OUT = ("missing-image", "missing-annotation", "unreadable-image", "unreadable-annotation", "duplicate")
_BOX_LEFT_OUT = ("inverted-box", "empty-box", "outside-box", "bad-box", "bad-row", "unknown-class", "unknown-image")


@dataclass(frozen=True)
class Finding:
    """Something found in a data set."""

    severity: Severity
    kind: str
    split: str
    path: str  # or what the split is read from; empty where the message says it
    message: str
    sample: int | None = None  # its number, where it is about one

    def __str__(self) -> str:
        return ": ".join(text for text in (self.split, self.path, self.message) if text)


class SplitReport(NamedTuple):
    """One split: its data set, and the figures of its boxes as their images show them, by the report's classes."""

    name: str
    dataset: DetectionDataset
    tally: Tally


@dataclass
class DatasetReport:
    """The result of `audit`. Sizes are stated for the network's input and the stride of its output."""

    preprocessing: Preprocessing
    stride: int
    read_images: bool  # False: annotations alone were looked at
    class_names: tuple[str, ...]  # of all splits, in the order of the first
    splits: list[SplitReport] = field(default_factory=list)  # those that could be read; that which is trained on first
    findings: list[Finding] = field(default_factory=list)  # errors first
    pairs: list[tuple[tuple[str, int], tuple[str, int], float]] = field(default_factory=list)
    """Near-duplicates: two images, each (split, sample), and how alike they are, 0..1."""

    @property
    def input_size(self) -> str:
        """The input's size for people: height×width."""
        height, width = self.preprocessing.size
        return "as large as the image" if not self.preprocessing.one_size else f"{height}×{width}"

    def add(
        self, kind: str, split: SplitReport, message: str, sample: int | None = None, path: str = "", note: bool = False
    ) -> None:
        """Add a finding about a split or a sample of it; a `note` is not as severe as its kind."""
        severity = "note" if note else severity_of(kind)
        path = path or (repr(split.dataset) if sample is None else str(split.dataset.path(sample)))
        self.findings.append(Finding(severity, kind, split.name, path, message, sample))

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def by_kind(self, severity: Severity) -> dict[str, list[Finding]]:
        """Return the findings of a severity, grouped, in the order of `KINDS`."""
        groups: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
        for finding in self.findings:
            if finding.severity == severity:
                groups.setdefault(finding.kind, []).append(finding)
        return {kind: group for kind, group in groups.items() if group}

    def skipped(self, split: str) -> tuple[int, int]:
        """Return how many findings leave an image, and how many a box, out of training."""
        kinds = [finding.kind for finding in self.findings if finding.split == split]
        return sum(kind in _IMAGE_LEFT_OUT for kind in kinds), sum(kind in _BOX_LEFT_OUT for kind in kinds)

    def to_dict(self) -> dict[str, Any]:
        """Return errors and warnings as plain values, for JSON: what to put right."""
        return {
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [asdict(finding) for finding in self.findings if finding.severity != "note"],
        }


def severity_of(kind: str) -> Severity:
    """Return how severe a kind of finding is."""
    return "note" if kind in _NOTES else "warning" if kind in _WARNINGS else "error"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which may be ``box``: "1 box", "2,000 boxes"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("x") else "s")
