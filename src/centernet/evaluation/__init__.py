"""Figures of merit: COCO's twelve, Pascal VOC's average precision. Nothing here needs torch."""

from centernet.evaluation.coco import ClassResult, CocoEvaluator, CocoResult, evaluate_coco
from centernet.evaluation.voc import VocClassResult, VocEvaluator, VocResult

__all__ = [
    "ClassResult",
    "CocoEvaluator",
    "CocoResult",
    "VocClassResult",
    "VocEvaluator",
    "VocResult",
    "evaluate_coco",
]
