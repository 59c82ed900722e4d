"""From a picture, folder or video to boxes in its own pixels: sources of frames, the detector, drawing, writers."""

from __future__ import annotations

from centernet.inference.detector import Detector, Runtime
from centernet.inference.drawing import contact_sheet, draw
from centernet.inference.sources import Frame, SourceError, frames
from centernet.inference.writers import CocoWriter, CsvWriter, PictureWriter, Writer

__all__ = [
    "CocoWriter",
    "CsvWriter",
    "Detector",
    "Frame",
    "PictureWriter",
    "Runtime",
    "SourceError",
    "Writer",
    "contact_sheet",
    "draw",
    "frames",
]
