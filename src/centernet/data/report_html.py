"""The report of a check as one page that needs nothing else: pictures are embedded, boxes are drawn by the browser.

All text that comes from files is escaped, and the page forbids itself scripts and anything from elsewhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from ..images import ImageError
from .findings import KINDS, Finding, Report, Split, cell_titles, size_text
from .report_style import STYLE
from .sample import Bools, Floats, Ints, Pixels

_ROWS = 200  # findings of a kind on the page
_CROPS = 60  # classes with examples
_PAIRS = 12
_EXAMPLES = 3


@dataclass(frozen=True)
class TrainingSample:
    """What the network is shown in training.

    Attributes:
        title: the name of the picture.
        image: uint8 H×W×3 RGB.
        boxes: float32 N×4, input pixels.
        labels: int64 N.
        ignore: bool N.
        heatmap: float32 h×w in 0..1, the target's largest value over the classes.
    """

    title: str
    image: Pixels
    boxes: Floats
    labels: Ints
    ignore: Bools
    heatmap: Floats


def report_as_html(
    report: Report,
    *,
    title: str,
    subtitle: str = "",
    samples: Sequence[TrainingSample] = (),
    class_names: Sequence[str] = (),
    configuration: str = "",
) -> str:
    """The page.

    Args:
        report: of `check`.
        title: what was checked.
        subtitle: a line below it.
        samples: of training, with their targets.
        class_names: what the labels of `samples` mean.
        configuration: YAML to train with, shown at the end.
    """
    names = report.class_names()
    pictures = _Pictures(report, names)
    sections = [
        _head(report, title, subtitle),
        _tiles(report),
        _findings(report, pictures),
        _samples(samples, class_names, names),
        _class_table(report, names, pictures),
        _sizes(report),
        _pairs(report, pictures),
        _configuration(configuration),
    ]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


class _Pictures:
    """Small versions of the pictures of a report's samples, with their boxes; each file is read when it is needed."""

    def __init__(self, report: Report, names: Sequence[str]) -> None:
        self.splits = {split.name: split for split in report.splits}
        self.names = names

    def whole(self, split: str, index: int, *, caption: str = "") -> str:
        """A figure of a sample with its boxes; empty where the picture cannot be read."""
        image = self._read(split, index)
        if image is None:
            return ""
        dataset = self.splits[split].dataset
        truth = dataset.annotation(index)
        labels = np.array([self._label(dataset.class_names, label) for label in truth.labels.tolist()], dtype=np.int64)
        size_hw = image.shape[0], image.shape[1]  # which an annotation may state wrongly
        boxes = _boxes(truth.boxes, labels, truth.ignore, self.names, size_hw)
        return (
            f'<figure><div class="picture"><img src="{_jpeg(image, 240)}" alt="">{boxes}</div>'
            f"<figcaption>{escape(caption or truth.path.name)}{_legend(labels, self.names)}</figcaption></figure>"
        )

    def crops(self, split: str, places: Sequence[tuple[int, int]]) -> list[str]:
        """Objects, by (sample, row), with a little of what is around them."""
        found = []
        for index, row in places:
            image = self._read(split, index)
            truth = self.splits[split].dataset.annotation(index)
            if image is None or row >= len(truth):
                continue
            x1, y1, x2, y2 = truth.boxes[row].tolist()
            margin = 2 + 0.1 * max(x2 - x1, y2 - y1)
            left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
            crop = image[top : int(y2 + margin) + 1, left : int(x2 + margin) + 1]
            if crop.size:
                found.append(f'<img src="{_jpeg(crop, 96, height=64)}" alt="">')
        return found

    def _read(self, split: str, index: int) -> Pixels | None:
        if split not in self.splits:
            return None
        try:
            return self.splits[split].dataset.image(index).read()[0]
        except ImageError:
            return None

    def _label(self, names: Sequence[str], label: int) -> int:
        return -1 if label < 0 else self.names.index(names[label])


def _head(report: Report, title: str, subtitle: str) -> str:
    errors, warnings = report.count("error"), report.count("warning")
    badges = []
    if errors:
        badges.append(f'<span class="badge error">{errors} error{"s" * (errors != 1)}</span>')
    if warnings:
        badges.append(f'<span class="badge warning">{warnings} warning{"s" * (warnings != 1)}</span>')
    if not badges:
        badges.append('<span class="badge good">nothing wrong was found</span>')
    read = "every picture was read" if report.read_images else "annotations alone; no picture was read"
    facts = [subtitle, f"input {size_text(report.preprocessing)}", f"output stride {report.stride}", read]
    line = " · ".join(escape(fact) for fact in facts if fact)
    return f'<header><h1>{escape(title)}</h1><p class="sub">{line}</p><p>{" ".join(badges)}</p></header>'


def _tiles(report: Report) -> str:
    tiles = []
    for split in report.splits:
        tally = split.tally
        objects = int(tally.objects.sum())
        pictures, boxes = report.skipped(split.name)
        rows = [
            ("objects a picture", f"{objects / max(tally.pictures, 1):.1f}, at most {tally.most_objects[0]}"),
            ("without objects", f"{tally.empty:,}"),
            ("boxes to ignore", f"{int(tally.ignored.sum()):,}"),
            ("cut at the edge", f"{split.clipped:,}"),
            ("findings: left out", f"{_counted(pictures, 'picture')}, {_counted(boxes, 'box')}"),
            ("picture sizes", _picture_sizes(split)),
        ]
        facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
        tiles.append(
            f'<div class="card"><h3>{escape(split.name)}</h3><p class="figures">{_large(tally.pictures, "picture")} '
            f'{_large(objects, "object")}</p><dl>{facts}</dl><p class="source">{escape(repr(split.dataset))}</p></div>'
        )
    return f'<section class="tiles">{"".join(tiles)}</section>' if tiles else ""


def _picture_sizes(split: Split) -> str:
    if not split.tally.sizes:
        return "none"
    (height, width), count = split.tally.sizes.most_common(1)[0]
    if len(split.tally.sizes) == 1:
        return f"all {height}×{width}"
    return f"{len(split.tally.sizes)}, mostly {height}×{width} ({count / split.tally.pictures:.0%})"


def _findings(report: Report, pictures: _Pictures) -> str:
    blocks = []
    for severity in ("error", "warning"):
        for kind, findings in report.by_kind(severity).items():
            title, meaning = (KINDS[kind].title, KINDS[kind].meaning) if kind in KINDS else (kind, "")
            shown = "".join(_finding(finding) for finding in findings[:_ROWS])
            if len(findings) > _ROWS:
                shown += f"<li>… and {len(findings) - _ROWS:,} more</li>"
            figures = "" if kind in ("near-duplicate", "unreadable-image") else _figures(findings, pictures)
            blocks.append(
                f'<details class="{severity}" {"open" * (severity == "error" or len(findings) <= 5)}>'
                f'<summary><span class="count">{len(findings):,}</span> {escape(title)} '
                f"<code>{escape(kind)}</code><small>{escape(meaning)}</small></summary>"
                f"<ul>{shown}</ul>{figures}</details>"
            )
    notes = [finding for finding in report.findings if finding.severity == "note"]
    if notes:
        shown = "".join(f"<li><b>{escape(note.split)}</b> {escape(note.message)}</li>" for note in notes)
        blocks.append(
            f'<details class="note" open><summary><span class="count">{len(notes)}</span> worth knowing</summary>'
            f"<ul>{shown}</ul></details>"
        )
    return f"<section><h2>Findings</h2>{''.join(blocks)}</section>" if blocks else ""


def _finding(finding: Finding) -> str:
    path = Path(finding.path)
    folder, name = (f"{path.parent}/", path.name) if finding.sample is not None or path.suffix else ("", finding.path)
    return (
        f'<li><b>{escape(finding.split)}</b> <span class="path"><i>{escape(folder)}</i>{escape(name)}</span> '
        f"{escape(finding.message)}</li>"
    )


def _figures(findings: Sequence[Finding], pictures: _Pictures) -> str:
    """The first samples that findings are about, once each."""
    samples: dict[tuple[str, int], None] = {}
    for finding in findings:
        if finding.sample is not None:
            samples[finding.split, finding.sample] = None
    figures = [pictures.whole(split, sample) for split, sample in list(samples)[:_EXAMPLES]]
    return f'<div class="grid">{"".join(figures)}</div>' if any(figures) else ""


def _samples(samples: Sequence[TrainingSample], class_names: Sequence[str], names: Sequence[str]) -> str:
    if not samples:
        return ""
    colours = [names.index(name) if name in names else number for number, name in enumerate(class_names)]
    figures = []
    for sample in samples:
        labels = np.array([-1 if label < 0 else colours[label] for label in sample.labels.tolist()], dtype=np.int64)
        shown = {colours[label]: name for label, name in enumerate(class_names)}
        height, width = sample.image.shape[:2]
        known = [shown.get(number, "") for number in range(max(shown, default=-1) + 1)]
        boxes = _boxes(sample.boxes, labels, sample.ignore, known, (height, width))
        figures.append(
            f'<figure><div class="picture"><img src="{_jpeg(sample.image, 320)}" alt="">'
            f'<img class="heat" src="{_heat(sample.heatmap)}" alt="">{boxes}</div>'
            f"<figcaption>{escape(sample.title)} · {_counted(int((~sample.ignore).sum()), 'object')}"
            f"{_legend(labels, known)}</figcaption></figure>"
        )
    return (
        "<section><h2>What training sees</h2><p>The first samples of the first epoch, augmented as in training. "
        "Glowing: the heatmap that the network is to predict, 1 at the centres. Dashed: regions to ignore.</p>"
        '<input type="checkbox" id="h" checked><label for="h">heatmap</label>'
        '<input type="checkbox" id="b" checked><label for="b">boxes</label>'
        f'<div class="grid">{"".join(figures)}</div></section>'
    )


def _class_table(report: Report, names: Sequence[str], pictures: _Pictures) -> str:
    if not names:
        return ""
    counts = [split.objects_by_name() for split in report.splits]
    order = sorted(range(len(names)), key=lambda label: -sum(count.get(names[label], 0) for count in counts))
    most = [max(count.values(), default=0) or 1 for count in counts]
    rows = []
    for place, label in enumerate(order):
        cells = []
        for split, count, highest in zip(report.splits, counts, most, strict=True):
            if names[label] not in count:
                cells.append('<td class="absent">not among its classes</td>')
                continue
            own = split.dataset.class_names.index(names[label])
            ignored = int(split.tally.ignored[own])
            more = _counted(int(split.tally.pictures_with[own]), "picture") + f", {ignored:,} ignored" * bool(ignored)
            objects = count[names[label]]
            cells.append(f"<td>{_bar(objects / highest, f'{objects:,}', label)}<small>{more}</small></td>")
        crops = _crops(report, names[label], pictures) if place < _CROPS and report.read_images else ""
        rows.append(f"<tr><th>{_dot(label)}{escape(names[label])}</th><td>{crops}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(split.name)}</th>" for split in report.splits)
    return (
        f"<section><h2>Classes</h2><table><thead><tr><th>class</th><th>examples</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _crops(report: Report, name: str, pictures: _Pictures) -> str:
    crops: list[str] = []
    for split in report.splits:
        if name in split.dataset.class_names and len(crops) < _EXAMPLES:
            places = split.tally.first_of[split.dataset.class_names.index(name)]
            crops += pictures.crops(split.name, places[: _EXAMPLES - len(crops)])
    return f'<div class="crops">{"".join(crops)}</div>'


def _sizes(report: Report) -> str:
    splits = [split for split in report.splits if split.tally.cells.sum()]
    if not splits:
        return ""
    shares = [split.tally.cells.sum(axis=0) / split.tally.cells.sum() for split in splits]
    most = max(float(share.max()) for share in shares)
    rows = []
    for number, title in enumerate(cell_titles()):
        cells = "".join(f"<td>{_bar(s[number] / most, f'{s[number]:.1%}', None)}</td>" for s in shares)
        rows.append(f"<tr><th>{escape(title)}</th>{cells}</tr>")
    shared = "".join(
        f"<td>{split.tally.sharing:,} ({split.tally.hidden:,} without a peak of their own)</td>"
        if split.tally.sharing
        else "<td>none</td>"
        for split in splits
    )
    head = "".join(f"<th>{escape(split.name)}</th>" for split in splits)
    return (
        "<section><h2>Sizes on the output grid</h2><p>The shorter side of the boxes, in cells of "
        f"{report.stride}×{report.stride} input pixels (input {size_text(report.preprocessing)}). "
        "What is smaller than a cell is seldom found.</p>"
        f"<table><thead><tr><th>cells</th>{head}</tr></thead><tbody>{''.join(rows)}"
        f"<tr><th>share their centre cell</th>{shared}</tr></tbody></table></section>"
    )


def _pairs(report: Report, pictures: _Pictures) -> str:
    if not report.pairs:
        return ""
    blocks = []
    for pair in report.pairs[:_PAIRS]:
        figures = [pictures.whole(split, index, caption=_caption(report, split, index)) for split, index in
                   (pair.first, pair.second)]  # fmt: skip
        blocks.append(f'<div class="pair">{"".join(figures)}<small>correlation {pair.alike:.3f}</small></div>')
    more = f"<p>… and {len(report.pairs) - _PAIRS:,} more pairs.</p>" if len(report.pairs) > _PAIRS else ""
    return f'<section><h2>Near-duplicates</h2><div class="pairs">{"".join(blocks)}</div>{more}</section>'


def _caption(report: Report, name: str, index: int) -> str:
    split = next(split for split in report.splits if split.name == name)
    return f"{name}: {split.dataset.path(index).name}"


def _configuration(text: str) -> str:
    if not text:
        return ""
    return f"<section><h2>To train on it</h2><pre>{escape(text)}</pre></section>"


def _boxes(boxes: Floats, labels: Ints, ignore: Bools, names: Sequence[str], size_hw: tuple[int, int]) -> str:
    """An SVG over a picture of `size_hw`; a box says its class where the pointer is over it."""
    height, width = size_hw
    shapes = []
    for (x1, y1, x2, y2), label, ignored in zip(boxes.tolist(), labels.tolist(), ignore.tolist(), strict=True):
        name = "any class" if label < 0 else names[label]
        style = 'class="ignored"' if ignored else f'style="stroke:{_colour(label)}"'
        shapes.append(
            f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" {style}>'
            f"<title>{escape(name)}{' (ignored)' * ignored}</title></rect>"
        )
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{"".join(shapes)}</svg>'


def _legend(labels: Ints, names: Sequence[str]) -> str:
    """The classes of a picture, each with its colour."""
    there = [int(label) for label in np.unique(labels) if label >= 0]
    return "<br>" * bool(there) + " ".join(f"<span>{_dot(label)}{escape(names[label])}</span>" for label in there)


def _bar(share: float, text: str, label: int | None) -> str:
    colour = "" if label is None else f";background:{_colour(label)}"
    return f'<div class="bar"><span style="width:{100 * share:.1f}%{colour}"></span><b>{escape(text)}</b></div>'


def _dot(label: int) -> str:
    return f'<span class="dot" style="background:{_colour(label)}"></span>'


def _colour(label: int) -> str:
    return f"hsl({(label * 137.508 + 205) % 360:.0f} 75% 52%)"  # the golden angle: neighbours differ


def _jpeg(image: Pixels, width: int, *, height: int = 100_000) -> str:
    """A picture reduced into width×height, as the source of an <img>."""
    small = Image.fromarray(image)
    small.thumbnail((width, height))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _heat(heatmap: Floats) -> str:
    """A heatmap as a picture to lay over another: orange to white, transparent where there is nothing."""
    heat = heatmap.clip(0, 1)[..., None]
    colours = np.concatenate([255 + 0 * heat, 90 + 165 * heat**2, 255 * heat**4, 230 * heat**0.7], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(colours.round().astype(np.uint8), "RGBA").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _large(count: int, noun: str) -> str:
    number, _, unit = _counted(count, noun).partition(" ")
    return f"<b>{number}</b> {unit}"


def _counted(count: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("x") else "s")
    return f"{count:,} {noun if count == 1 else plural}"
