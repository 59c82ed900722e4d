"""Files of a run that are whole at any time: its checkpoints and its table of figures."""

from __future__ import annotations

import csv
import io
from itertools import count
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from centernet.claim import new_folder
from centernet.whole import Growing, write_bytes, write_text


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them; Lightning's copies them there from the temporary folder,
    where that is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if storage_options is not None or type(get_filesystem(path)).__name__ != "LocalFileSystem":
            return super().save_checkpoint(checkpoint, path, storage_options)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(path, buffer.getbuffer())


class _Table(ExperimentWriter):
    """metrics.csv: rows are added wholly; where a row has a new column, the file is written anew."""

    def save(self) -> None:
        if not self.metrics:
            return
        path, new = Path(self.metrics_file_path), bool(self._record_new_keys())
        if new or not path.is_file():
            self._write([*(read_table(path) if path.is_file() else []), *self.metrics])
        else:
            table = Growing(path, keep=path.stat().st_size)
            table.add(self._text(self.metrics))
            table.close()
        self.metrics = []

    def replace(self, rows: list[dict[str, Any]]) -> None:
        """Write these rows alone."""
        self.metrics_keys = sorted({key for row in rows for key in row})
        self._write(rows)

    def _write(self, rows: list[Any]) -> None:
        write_text(self.metrics_file_path, self._text([{key: key for key in self.metrics_keys}, *rows]))

    def _text(self, rows: list[Any]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, fieldnames=self.metrics_keys).writerows(rows)
        return text.getvalue()

    def _check_log_dir_exists(self) -> None:
        """Keep what is there."""


class RunLog(CSVLogger):
    """The log of a new run, in the first folder `version_N` that is not there: of several runs each has its own."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _Table(log_dir=self.log_dir)
        return self._experiment

    def _get_next_version(self) -> int:
        first = super()._get_next_version()
        if getattr(rank_zero_only, "rank", 0):
            return first
        made = new_folder(Path(self.root_dir), (f"version_{number}" for number in count(first)))
        return int(made.name.rpartition("_")[2])


class ContinuedLog(RunLog):
    """A log in the folder of a stopped run that keeps its rows.

    Args:
        folder: of the run, with its `metrics.csv`.
        step: of the checkpoint that the run goes on from: rows from there on come again; None keeps all.
    """

    def __init__(self, folder: Path, step: int | None = None) -> None:
        super().__init__(folder.parent.parent, name=folder.parent.name, version=folder.name)
        if isinstance(table := self.experiment, _Table):  # on the first device
            rows = read_table(folder / "metrics.csv")
            table.replace([row for row in rows if step is None or int(row.get("step") or 0) < step])


def read_table(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a metrics.csv; one that was cut off is left out."""
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    return [row for row in rows if None not in row and None not in row.values()]
