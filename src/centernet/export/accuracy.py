"""The figures of a model in any form: what an exported file loses shows beside those of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from centernet.evaluation import CocoEvaluator, CocoResult
from centernet.inference import Detector

if TYPE_CHECKING:
    from centernet.data import DetectionDataset


def accuracy(model: Any, dataset: DetectionDataset, *, batch_size: int = 1) -> CocoResult:
    """Compute COCO's figures of a model on a labelled data set, by the path that a user's images take.

    Args:
        model: whatever `Detector` opens.
        dataset: with the model's classes in its order.
        batch_size: images that go through the network together.

    Raises:
        ValueError: the data set's classes are not the model's.
    """
    detector = Detector(model, score_threshold=0.0, batch_size=batch_size)
    if detector.class_names and tuple(detector.class_names) != tuple(dataset.class_names):
        raise ValueError(
            f"the model's classes ({', '.join(detector.class_names[:5])}, …) are not those of the data set "
            f"({', '.join(dataset.class_names[:5])}, …), in this order"
        )
    evaluator = CocoEvaluator(dataset.class_names)
    paths = [dataset.path(i) for i in range(len(dataset))]
    for i, (_, detections) in enumerate(detector.stream(paths)):
        evaluator.update(dataset.annotation(i), detections)
    return evaluator.compute()
