"""The report on data sets: findings by kind, and figures by split."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

from ..images import Preprocessing
from .dataset import DetectionDataset
from .scan import CELLS, Tally

Severity: TypeAlias = Literal["error", "warning", "note"]

RARE = 2
"""A class with so few objects, or fewer, is likelier a wrong label than something to learn."""


@dataclass(frozen=True)
class Kind:
    """The meaning of a kind of finding.

    Attributes:
        severity: an ``error`` is skipped or trained wrongly; a ``warning`` deserves a look; a ``note`` is a figure.
        title: in a few words.
        meaning: what the trainer does about it, or what to do.
        skips: what is left out of training, one for each finding.
    """

    severity: Severity
    title: str
    meaning: str = ""
    skips: Literal["image", "box", ""] = ""


_TO_READABLE = "In training another image takes its place, in evaluation it is left out."
KINDS: dict[str, Kind] = {
    "unusable": Kind("error", "splits that cannot be used", "Nothing of them can be read."),
    "missing-image": Kind("error", "missing images", "The samples are left out.", "image"),
    "missing-annotation": Kind("error", "images without annotation", "The samples are left out.", "image"),
    "unreadable-image": Kind("error", "unreadable images", _TO_READABLE, "image"),
    "unreadable-annotation": Kind("error", "unreadable annotations", "The samples are left out.", "image"),
    "duplicate": Kind("error", "samples listed twice", "The first counts.", "image"),
    "wrong-size": Kind(
        "error", "images of another size than annotated",
        "Boxes are taken as they are and cut at the real edges: were they drawn on another version of the image, "
        "or before it was turned upright?",
    ),
    "inverted-box": Kind("error", "inverted boxes", "They are left out.", "box"),
    "empty-box": Kind("error", "boxes without area", "They are left out.", "box"),
    "outside-box": Kind("error", "boxes outside their images", "They are left out.", "box"),
    "bad-box": Kind("error", "boxes that are no four numbers", "They are left out.", "box"),
    "bad-row": Kind("error", "broken lines", "They are left out.", "box"),
    "unknown-class": Kind("error", "unknown classes", "Their boxes are left out.", "box"),
    "left-out-class": Kind("note", "classes left out by choice", "They are not in class_names."),
    "unknown-image": Kind("error", "annotations of unknown images", "They are left out.", "box"),
    "unknown-key": Kind("error", "misspelt keys", "What they say is not used."),
    "duplicate-box": Kind("error", "objects annotated twice", "Evaluation counts one of them as missed."),
    "normalised-boxes": Kind(
        "error", "boxes that look normalised", "Boxes are expected in pixels, not as shares of the image."
    ),
    "class-count": Kind("error", "another number of classes than the model's", "Training will not start."),
    "class-list": Kind(
        "error", "classes that the training data lack",
        "Training will not start; give all splits the same class_names.",
    ),
    "no-objects": Kind("error", "splits without any object", "There is nothing to learn, or to evaluate."),
    "same-image": Kind("error", "images in two splits", "Evaluation on what was trained on flatters."),
    "near-duplicate": Kind(
        "warning", "near-duplicates across splits",
        "Copies, resized images or neighbouring frames: evaluation flatters. Split by source or by video.",
    ),
    "size": Kind("warning", "image sizes not stated", "They are read from the images; other programs may fail."),
    "image-id": Kind("warning", "image ids", "Images are numbered anew."),
    "mislabelled-file": Kind("warning", "names that say another image format", "They are read by their content."),
    "ambiguous-box": Kind("warning", "boxes with two classes", "Which of them is it?"),
    "absent-class": Kind("warning", "classes without an object", "They cannot be learned."),
    "rare-class": Kind(
        "warning", f"classes of at most {RARE} objects", "Too few to learn: a wrong or misspelt label?"
    ),
    "box-convention": Kind(
        "warning", "many boxes over the edge",
        "They are cut there. Is the convention right (corners, or a corner and the size)?",
    ),
    "small-objects": Kind(
        "warning", "objects smaller than a cell of the output", "They are seldom found: use a larger input, or tiles."
    ),
    "shared-cell": Kind(
        "warning", "objects hidden in another's centre cell",
        "Two objects of a class with one centre cell have one peak: use a larger input.",
    ),
}  # fmt: skip
"""The meanings, in the order in which findings are shown; kinds that aren't here are errors."""


@dataclass(frozen=True)
class Finding:
    """Something found in a data set.

    Attributes:
        severity: see `Kind`.
        kind: see `KINDS`.
        split: where it is.
        path: the file, or what the split is read from; empty where the message says it.
        message: what is wrong, where in the file, and what becomes of it.
        sample: number of the sample in its split; None where it has none.
    """

    severity: Severity
    kind: str
    split: str
    path: str
    message: str
    sample: int | None = None

    def __str__(self) -> str:
        return ": ".join(text for text in (self.split, self.path, self.message) if text)


class DuplicatePair(NamedTuple):
    """Two images of different splits, each (split, sample), that are nearly the same, and how alike, 0..1."""

    first: tuple[str, int]
    second: tuple[str, int]
    alike: float


@dataclass
class SplitReport:
    """One split and its figures."""

    name: str
    dataset: DetectionDataset
    tally: Tally

    def objects_by_name(self) -> dict[str, int]:
        """Return the number of objects of each class."""
        return dict(zip(self.dataset.class_names, self.tally.objects.tolist(), strict=True))

    @property
    def clipped(self) -> int:
        """Boxes that were cut at the edge of their images, where the reader counts them."""
        return int(getattr(self.dataset, "clipped", 0))


@dataclass
class DatasetReport:
    """The result of `audit`.

    Attributes:
        preprocessing: of the network that sizes are stated for.
        stride: of its output.
        read_images: False where annotations alone were looked at.
        splits: those that could be read.
        findings: errors first.
        pairs: the near-duplicates among the findings, to look at.
    """

    preprocessing: Preprocessing
    stride: int
    read_images: bool
    splits: list[SplitReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    pairs: list[DuplicatePair] = field(default_factory=list)

    def add(
        self, kind: str, split: str, path: object, message: str, sample: int | None = None, *, note: bool = False
    ) -> None:
        """Add a finding; a `note` is not as severe as its kind."""
        severity = "note" if note else kind_of(kind).severity
        self.findings.append(Finding(severity, kind, split, str(path), message, sample))

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def by_kind(self, severity: Severity) -> dict[str, list[Finding]]:
        """Return the findings of a severity, grouped, in the order of `KINDS`."""
        found = [finding for finding in self.findings if finding.severity == severity]
        order = dict.fromkeys([*KINDS, *(finding.kind for finding in found)])
        groups = {kind: [finding for finding in found if finding.kind == kind] for kind in order}
        return {kind: group for kind, group in groups.items() if group}

    def skipped(self, split: str) -> tuple[int, int]:
        """Return how many findings leave an image, and how many a box, out of training."""
        skips = [kind_of(finding.kind).skips for finding in self.findings if finding.split == split]
        return skips.count("image"), skips.count("box")

    def class_names(self) -> list[str]:
        """Return the class names of all splits, in the order of the first."""
        return list(dict.fromkeys(name for split in self.splits for name in split.dataset.class_names))

    def to_dict(self) -> dict[str, Any]:
        """Return errors and warnings as plain values, for JSON: what to put right."""
        return {
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [asdict(finding) for finding in self.findings if finding.severity != "note"],
        }


def kind_of(name: str) -> Kind:
    """Return the meaning of a kind of finding."""
    return KINDS.get(name, Kind("error", name))


def cell_titles() -> list[str]:
    """Return the titles of the bins of `Tally.cells`."""
    return [f"<{CELLS[0]}", *(f"{a}–{b}" for a, b in pairwise(CELLS)), f"≥{CELLS[-1]}"]


def size_text(preprocessing: Preprocessing) -> str:
    """Return the input's size for people: height×width."""
    if preprocessing.resize == "keep":
        return "as large as the image"
    return f"{preprocessing.size[0]}×{preprocessing.size[1]}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which may be ``box``: "1 box", "2,000 boxes"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun.endswith("x") else "s")
