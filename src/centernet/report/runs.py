"""The folder of a run: its curves, its configuration, and what it led to; whatever of these there is."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from centernet.configuration import read_yaml

_CHECKPOINTS = ("checkpoints/best.ckpt", "checkpoints/last.ckpt")
LOSSES = ("train/", "val/loss")
FIGURES = ("val/AP", "val/AP50", "val/AP75", "val/HOTA", "val/MOTA", "val/IDF1")


@dataclass(frozen=True)
class Run:
    """A run of `centernet fit`.

    Attributes:
        folder: of it.
        checkpoint: the best, else the last one; None where no epoch was finished.
        config: every value that was used; None where it is not there.
        rows: of the log, each with `epoch` and `step`.
        notes: on what is not there.
    """

    folder: Path
    checkpoint: Path | None = None
    config: dict[str, Any] | None = None
    rows: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read what there is of a run."""
        checkpoint = next((path for name in _CHECKPOINTS if (path := folder / name).is_file()), None)
        config = read_yaml(folder / "config.yaml") if (folder / "config.yaml").is_file() else None
        log, notes = folder / "metrics.csv", list[str]()
        rows = _rows(log) if log.is_file() else []
        if checkpoint is None:
            notes.append("no checkpoint: the run was stopped before its first epoch was finished")
        elif checkpoint.name != "best.ckpt":
            notes.append("no best checkpoint, as no validation decided: the figures are those of the last weights")
        if not rows:
            notes.append("no curves: nothing was logged")
        elif not any(key in row for row in rows for key in FIGURES):
            notes.append("no curves of figures: no validation was finished")
        if config is not None and rows:
            epochs = (config.get("trainer") or {}).get("max_epochs")
            done = int(max(row.get("epoch", 0) for row in rows)) + 1
            if isinstance(epochs, int) and done < epochs:
                notes.append(f"the log ends in epoch {done} of {epochs}: the run was stopped, or goes on")
        return cls(folder, checkpoint, config, rows, notes)

    def curves(self) -> dict[str, dict[str, list[list[float]]]]:
        """Return the losses and the figures by name, each as steps and values."""
        names = list(dict.fromkeys(key for row in self.rows for key in row))
        losses = [name for name in names if name.startswith(LOSSES) and name != "train/lr"]
        groups = {"losses": losses, "figures": [name for name in FIGURES if name in names]}
        return {
            group: {name: [self._column("step", name), self._column(name, name)] for name in chosen}
            for group, chosen in groups.items()
            if chosen
        }

    def _column(self, name: str, where: str) -> list[float]:
        return [row.get(name, 0.0) for row in self.rows if where in row]


def is_run(path: Path) -> bool:
    """Return True for the folder of a run, and not of a saved model."""
    names = ("metrics.csv", "checkpoints", "config.yaml")
    return (
        path.is_dir() and not (path / "model.safetensors").is_file() and any((path / name).exists() for name in names)
    )


def _rows(path: Path) -> list[dict[str, float]]:
    """Read a log; a row that was cut off is left out, and so are cells that hold no number."""
    text = path.read_text(encoding="utf-8", errors="replace")
    table = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    rows = [_numbers(row) for row in table if None not in row]
    return [row for row in rows if row]


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for key, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if isfinite(number):
            found[key] = number
    return found
