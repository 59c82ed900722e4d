"""The report of a check as text for a terminal, and its tables, which the page shows too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..text import shown
from .findings import KINDS, DatasetReport, SplitReport, counted
from .tally import CELLS

_EXAMPLES = 5  # of a kind of finding
_ROWS = 40


class Cell(NamedTuple):
    """An entry of a table: its text, and how long its bar is on the page, 0..1; None: no bar."""

    text: str
    bar: float | None = None


class ReportTable(NamedTuple):
    """A table: what it shows, the name of its rows' and other columns, and by name the entries of each row."""

    title: str
    meaning: str
    header: list[str]
    rows: dict[str, list[Cell]]


def report_tables(report: DatasetReport) -> dict[str, ReportTable]:
    """Return the figures of the splits, of the classes, and of the sizes on the output grid."""
    names, tallies = [split.name for split in report.splits], [split.tally for split in report.splits]
    figures = [_figures(report, split) for split in report.splits]
    splits = {title: [Cell(column[title]) for column in figures] for title in (figures[0] if figures else ())}
    totals = sum(tally.objects for tally in tallies)
    classes = {
        report.class_names[label]: [_of_class(report, split, label) for split in report.splits]
        for label in (np.argsort(-totals, kind="stable").tolist() if tallies else ())
    }
    counts = np.array([tally.cells.sum(axis=0) for tally in tallies]).reshape(-1, len(CELLS) + 1)
    shares = (counts / counts.sum(axis=1, keepdims=True).clip(1)).T
    bins = [f"<{CELLS[0]}", *(f"{a}–{b}" for a, b in pairwise(CELLS)), f"≥{CELLS[-1]}"]
    most = shares.max(initial=1e-9)
    grid = {
        title: [Cell(f"{share:.1%}", share / most) for share in row]
        for title, row in zip(bins, shares.tolist(), strict=True)
    }
    grid["share their centre cell"] = [Cell(f"{tally.sharing:,}") for tally in tallies]
    grid["without a peak of their own"] = [Cell(f"{tally.hidden:,}") for tally in tallies]
    meaning = (
        f"The shorter side of the boxes in cells of the output (input {report.input_size}, stride {report.stride}). "
        "What is smaller than a cell is seldom found."
    )
    return {
        "splits": ReportTable("Splits", "", ["", *names], splits),
        "classes": ReportTable("Classes", "Objects, and images with one.", ["class", *names], classes),
        "sizes": ReportTable("Sizes on the output grid", meaning, ["cells", *names], grid if counts.any() else {}),
    }


def _figures(report: DatasetReport, split: SplitReport) -> dict[str, str]:
    tally, (images, boxes) = split.tally, report.skipped(split.name)
    sizes = [f"{height}×{width}" for height, width in tally.sizes][:1] or ["none"]
    if len(tally.sizes) > 1:
        share = next(iter(tally.sizes.values())) / tally.images
        sizes = [f"{len(tally.sizes):,}, mostly {sizes[0]} ({share:.0%})"]
    objects = int(tally.objects.sum())
    return {
        "images": f"{tally.images:,}",
        "without objects": f"{tally.empty:,}",
        "objects": f"{objects:,}",
        "objects an image": f"{objects / max(tally.images, 1):.1f}, at most {tally.most_objects:,}",
        "boxes to ignore": f"{tally.ignored.sum():,}",
        "boxes cut at the edge": f"{split.dataset.clipped:,}",
        "findings: left out": f"{counted(images, 'image')}, {counted(boxes, 'box')}",
        "image sizes (h×w)": sizes[0],
    }


def _of_class(report: DatasetReport, split: SplitReport, label: int) -> Cell:
    if report.class_names[label] not in split.dataset.class_names:
        return Cell("-")
    tally = split.tally
    ignored = f", {tally.ignored[label]:,} ignored" if tally.ignored[label] else ""
    text = f"{tally.objects[label]:,} ({tally.images_with[label]:,}){ignored}"
    return Cell(text, tally.objects[label] / tally.objects.max(initial=1))


def report_as_text(report: DatasetReport) -> str:
    """Return the tables, then what was found, the first examples of each kind."""
    sections = [_table_as_text(table) for table in report_tables(report).values() if table.rows]
    for severity in ("error", "warning"):
        for kind, findings in report.by_kind(severity).items():
            title = f"{severity.upper()} {kind} ({len(findings)}): {KINDS.get(kind, kind)}"
            sections.append(_shortened(title, [f"  {shown(finding)}" for finding in findings], _EXAMPLES))
    sections.append(
        "\n".join(f"note: {shown(f.split)}: {shown(f.message)}" for f in report.findings if f.severity == "note")
    )
    errors, warnings = report.count("error"), report.count("warning")
    if errors or warnings:
        sections.append(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")
    else:
        where = "" if report.read_images else " in the annotations; no image was read"
        sections.append(f"nothing wrong was found{where}")
    return "\n\n".join(filter(None, sections))


def _table_as_text(table: ReportTable) -> str:
    """Columns as wide as their longest entry: the first to the left, the others to the right."""
    rows = [table.header, *([name, *(cell.text for cell in cells)] for name, cells in table.rows.items())]
    rows = [list(map(shown, row)) for row in rows]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = ["  ".join([name.ljust(first), *map(str.rjust, texts, others)]).rstrip() for name, *texts in rows]
    return _shortened(f"{table.title}. {table.meaning}".strip(), lines, _ROWS + 1)


def _shortened(title: str, lines: Sequence[str], most: int) -> str:
    more = [f"  ... and {len(lines) - most:,} more"] if len(lines) > most else []
    return "\n".join([title, *lines[:most], *more])
