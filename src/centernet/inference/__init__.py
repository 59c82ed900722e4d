"""Detection in images, folders and videos: sources of frames, the detector, writers."""

from centernet.drawing import Trails as Trails
from centernet.drawing import contact_sheet as contact_sheet
from centernet.drawing import draw as draw
from centernet.inference.detector import Detector as Detector
from centernet.inference.opening import Runtime as Runtime
from centernet.inference.sources import Frame as Frame
from centernet.inference.sources import Source as Source
from centernet.inference.sources import SourceError as SourceError
from centernet.inference.sources import frames as frames
from centernet.inference.sources import open_source as open_source
from centernet.inference.tracking import collect as collect
from centernet.inference.tracking import track as track
from centernet.inference.video import VideoWriter as VideoWriter
from centernet.inference.writers import CocoWriter as CocoWriter
from centernet.inference.writers import CsvWriter as CsvWriter
from centernet.inference.writers import ImageWriter as ImageWriter
from centernet.inference.writers import MotWriter as MotWriter
from centernet.inference.writers import Writer as Writer
