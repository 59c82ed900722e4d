"""From a trained network to files that other runtimes read; the decode is in each, and each says what it needs."""

from centernet.export.accuracy import accuracy
from centernet.export.exporting import FORMATS, export
from centernet.export.options import ExportOptions

__all__ = ["FORMATS", "ExportOptions", "accuracy", "export"]
