"""Sheets of images for the loggers of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray


def log_sheet(sinks: Iterable[Logger], name: str, sheet: NDArray[np.uint8], step: int) -> None:
    """Hand an image to the loggers that take images: TensorBoard, Weights & Biases and MLflow.

    Args:
        sinks: the loggers of a run.
        name: of the image, such as ``val/images``.
        sheet: H×W×3 RGB.
        step: of the optimiser.
    """
    for sink in sinks:
        if hasattr(sink, "log_image"):  # Weights & Biases
            sink.log_image(name, [sheet], step=step)
            continue
        writer: Any = getattr(sink, "experiment", None)
        if hasattr(writer, "add_image"):  # TensorBoard
            writer.add_image(name, sheet, step, dataformats="HWC")
        elif hasattr(writer, "log_image") and hasattr(sink, "run_id"):  # MLflow's client
            writer.log_image(sink.run_id, sheet, artifact_file=f"{name}/step_{step:08d}.png")
