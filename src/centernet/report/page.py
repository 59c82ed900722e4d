"""The page on a model: one file that needs nothing else, and `report.json` beside it with all numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from centernet.evaluation.error_bars import ErrorBars
from centernet.inference.validation import Validation
from centernet.report.charts import Chart, chart
from centernet.report.diagnosis import KIND_NAMES, diagnose
from centernet.report.pictures import Worst, changes_of_identity, worst_images
from centernet.report.runs import Run
from centernet.whole import write_json, write_text

PAGE, VALUES = "report.html", "report.json"
_ROWS = 60  # of the table of classes
_CELLS = 16  # of the confusion matrix


def write_report(
    folder: Path,
    title: str,
    *,
    validation: Validation | None = None,
    bars: ErrorBars | None = None,
    run: Run | None = None,
    threshold: float | None = None,
    notes: Sequence[str] = (),
    subtitle: str = "",
    speed: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the page and its values; whatever is not known is left out, and said.

    Args:
        folder: for both.
        title: of the page.
        validation: with its figures; None where there is no model.
        bars: the intervals of its figures; None computes them.
        run: for the curves.
        threshold: from which on objects are shown to people; None for the one with the best F1.
        notes: lines for the top of the page.
        subtitle: a line under the title.
        speed: rows of exported forms: form, bytes, milliseconds, images a second.

    Returns:
        The page.
    """
    content: dict[str, Any] = {"title": title, "subtitle": subtitle, "notes": [*notes, *(run.notes if run else ())]}
    worst, pairs = Worst([], {}, []), []
    if validation is not None and len(validation):
        bars = validation.error_bars() if bars is None else bars
        content |= diagnose(validation, bars, threshold=threshold)
        worst = worst_images(validation, content["threshold"])
        content["worst"] = worst.rows
        if content["tracking"]:
            pairs = changes_of_identity(validation, content["tracking"]["switches"])
    if run is not None:
        content["run"] = run.curves()
    content["speed"] = [dict(row) for row in speed]
    page = render("model_report.html", content=content, worst=worst, pairs=pairs, charts=_charts(content))
    write_text(folder / PAGE, page, errors="backslashreplace")
    write_json(folder / VALUES, content, indent=1)
    return folder / PAGE


def render(template: str, **values: Any) -> str:
    """Return a page of a template of the package; texts are escaped."""
    loader = PackageLoader("centernet")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.filters |= {"figure": figure_text, "interval": interval_text}
    return templates.get_template(template).render(kind_names=KIND_NAMES, most_rows=_ROWS, most_cells=_CELLS, **values)


def figure_text(value: float | None) -> str:
    """Return a figure with three digits; a dash for one that does not exist."""
    return "–" if value is None or value == -1 else f"{value:.3f}"


def interval_text(found: Sequence[float] | None) -> str:
    """Return an interval as .341–.367, or nothing."""
    return "" if not found else "–".join(f"{value:.3f}".replace("0.", ".", 1) for value in found)


def _charts(content: Mapping[str, Any]) -> dict[str, list[Chart]]:
    """Return the charts of the page by section."""
    charts: dict[str, list[Chart | None]] = {"run": [], "curves": [], "calibration": [], "iou": []}
    for group, title in (("losses", "losses"), ("figures", "figures of validation")):
        series = (content.get("run") or {}).get(group, {})
        charts["run"].append(chart(title, "step", {name: (xs, ys) for name, (xs, ys) in series.items()}))
    unit = (0.0, 1.0)
    if curves := content.get("curves"):
        recall = curves["recall"]
        overall = {f"IoU {limit}": (recall, values) for limit, values in curves["overall"].items() if values}
        classes = {name: (recall, values) for name, values in curves["classes"].items() if values}
        charts["curves"] = [chart("precision over all classes", "recall", overall, x=unit, y=unit),
                            chart("precision of classes, IoU 0.5", "recall", classes, x=unit, y=unit)]  # fmt: skip
    if by_iou := content.get("by_iou"):
        limits, values = zip(*by_iou, strict=True)
        charts["iou"].append(chart("AP by IoU", "IoU from which on a box is right", {"AP": (limits, values)}, y=(0, 1)))
    if bins := (content.get("calibration") or {}).get("bins"):
        points = [row["score"] for row in bins], [row["right"] for row in bins]
        charts["calibration"].append(
            chart("share that is right", "score", {"share": points}, x=unit, y=unit, diagonal=True)
        )
    return {name: [one for one in of_section if one is not None] for name, of_section in charts.items()}
