"""The report of a check as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .findings import DatasetReport, cell_titles, counted, kind_of, size_text

_EXAMPLES = 5
_CLASSES = 40


def report_as_text(report: DatasetReport) -> str:
    """Figures of the splits, then what was found, the first examples of each kind."""
    sections = [_splits(report), _classes(report), _cells(report), *_findings(report), _verdict(report)]
    return "\n\n".join(section for section in sections if section)


def _splits(report: DatasetReport) -> str:
    if not report.splits:
        return ""
    rows: list[list[str]] = [["", *(split.name for split in report.splits)]]

    def add(title: str, values: Sequence[object]) -> None:
        rows.append([title, *(f"{value:,}" if isinstance(value, int) else str(value) for value in values)])

    tallies = [split.tally for split in report.splits]
    add("images", [tally.images for tally in tallies])
    add("  without objects", [tally.empty for tally in tallies])
    add("objects", [int(tally.objects.sum()) for tally in tallies])
    add("  most in an image", [tally.most_objects for tally in tallies])
    add("boxes to ignore", [int(tally.ignored.sum()) for tally in tallies])
    add("boxes cut at the edge", [split.clipped for split in report.splits])
    add("findings: images left out", [report.skipped(split.name)[0] for split in report.splits])
    add("findings: boxes left out", [report.skipped(split.name)[1] for split in report.splits])
    add("image sizes", [len(tally.sizes) for tally in tallies])
    common = [tally.sizes.most_common(1)[0][0] if tally.sizes else (0, 0) for tally in tallies]
    add("  most frequent (h×w)", [f"{height}×{width}" for height, width in common])
    return _table(rows)


def _classes(report: DatasetReport) -> str:
    names = report.class_names()
    objects = [split.objects_by_name() for split in report.splits]
    names.sort(key=lambda name: -sum(counts.get(name, 0) for counts in objects))
    rows: list[list[str]] = [["objects (images)", *(split.name for split in report.splits)]]
    for name in names[:_CLASSES]:
        row = [name]
        for split in report.splits:
            if name in split.dataset.class_names:
                label = split.dataset.class_names.index(name)
                row.append(f"{split.tally.objects[label]:,} ({split.tally.images_with[label]:,})")
            else:
                row.append("-")
        rows.append(row)
    more = f"\n... and {len(names) - _CLASSES} classes with fewer" if len(names) > _CLASSES else ""
    return _table(rows) + more if names else ""


def _cells(report: DatasetReport) -> str:
    rows: list[list[str]] = [["", *cell_titles()]]
    for split in report.splits:
        counts = split.tally.cells.sum(axis=0)
        if counts.sum():
            rows.append([split.name, *(f"{share:.1%}" for share in counts / np.maximum(counts.sum(), 1))])
    title = f"shorter side of the boxes in cells of the output (input {size_text(report.preprocessing)}"
    return f"{title}, stride {report.stride})\n{_table(rows)}" if len(rows) > 1 else ""


def _findings(report: DatasetReport) -> list[str]:
    sections = []
    for severity in ("error", "warning"):
        for name, findings in report.by_kind(severity).items():
            kind = kind_of(name)
            lines = [f"{severity.upper()} {name} ({len(findings)}): {kind.title}. {kind.meaning}".rstrip()]
            lines += [f"  {finding}" for finding in findings[:_EXAMPLES]]
            if len(findings) > _EXAMPLES:
                lines.append(f"  ... and {len(findings) - _EXAMPLES} more")
            sections.append("\n".join(lines))
    notes = [finding for finding in report.findings if finding.severity == "note"]
    return [*sections, "\n".join(f"note: {note.split}: {note.message}" for note in notes)]


def _verdict(report: DatasetReport) -> str:
    errors, warnings = report.count("error"), report.count("warning")
    if not errors and not warnings:
        return "nothing wrong was found" + ("" if report.read_images else " in the annotations; no image was read")
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest entry: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        rest = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *rest]).rstrip())
    return "\n".join(lines)
