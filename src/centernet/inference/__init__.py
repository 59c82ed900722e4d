"""Detection in images, folders and videos: sources of frames, the detector, writers."""

from centernet.drawing import Trails as Trails, contact_sheet as contact_sheet, draw as draw
from centernet.inference.detector import Detector as Detector
from centernet.inference.image_writers import (
    BirdsEyeWriter as BirdsEyeWriter,
    CropWriter as CropWriter,
    ImageWriter as ImageWriter,
    KittiWriter as KittiWriter,
    LabelmeWriter as LabelmeWriter,
    VocWriter as VocWriter,
    YoloWriter as YoloWriter,
)
from centernet.inference.opening import Runtime as Runtime
from centernet.inference.sources import (
    Frame as Frame,
    Source as Source,
    SourceError as SourceError,
    frames as frames,
    open_source as open_source,
)
from centernet.inference.tool_writers import CvatWriter as CvatWriter, LabelStudioWriter as LabelStudioWriter
from centernet.inference.tracking import collect as collect, track as track
from centernet.inference.video import VideoWriter as VideoWriter
from centernet.inference.writers import (
    CocoResultsWriter as CocoResultsWriter,
    CocoWriter as CocoWriter,
    CsvWriter as CsvWriter,
    MotWriter as MotWriter,
    Writer as Writer,
)
