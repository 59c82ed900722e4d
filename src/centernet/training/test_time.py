"""Validation with the options of a test: the mirror image, several scales, soft suppression."""

from __future__ import annotations

from collections.abc import Sequence

from centernet.data import Annotation, DetectionDataset
from centernet.detections import Detections
from centernet.inference import Detector
from centernet.network import Network


class TestTimeLook:
    """Finds the objects of images of a data set as `Detector` does with these options.

    Args:
        network: that is evaluated; as it is at each call.
        dataset: the images.
        flip, scales, soft_nms: as of `Detector`.

    Raises:
        ValueError: scales that the network's preprocessing does not have.
    """

    __test__ = False  # pytest takes its name for that of a test

    def __init__(
        self,
        network: Network,
        dataset: DetectionDataset,
        *,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        soft_nms: bool = False,
    ) -> None:
        self.detector = Detector(network, score_threshold=0.0, flip=flip, scales=scales, soft_nms=soft_nms)
        self.dataset = dataset
        self.places = {dataset.path(i): i for i in range(len(dataset))}

    def __call__(self, annotations: Sequence[Annotation]) -> list[Detections]:
        """Return the detections of the images with these annotations, in their own pixels."""
        images = [self.dataset.image(self.places[annotation.path]).read()[0] for annotation in annotations]
        return self.detector(images)
