"""Detection in images, folders and videos: sources of frames, the detector, writers."""

from __future__ import annotations

from centernet.drawing import Trails, contact_sheet, draw
from centernet.inference.detector import Detector
from centernet.inference.opening import Runtime
from centernet.inference.sources import Frame, Source, SourceError, frames, open_source
from centernet.inference.tracking import collect, track
from centernet.inference.video import VideoWriter
from centernet.inference.writers import CocoWriter, CsvWriter, ImageWriter, MotWriter, Writer

__all__ = [
    "CocoWriter",
    "CsvWriter",
    "Detector",
    "Frame",
    "ImageWriter",
    "MotWriter",
    "Runtime",
    "Source",
    "SourceError",
    "Trails",
    "VideoWriter",
    "Writer",
    "collect",
    "contact_sheet",
    "draw",
    "frames",
    "open_source",
    "track",
]
