"""Figures of detections: COCO's twelve, Pascal VOC's average precision, CrowdHuman's three, KITTI's; without torch.

Figures of tracks are in `centernet.evaluation.tracking`.
"""

from .coco import CocoEvaluator, CocoResult, evaluate_coco
from .collecting import EvaluationResult, Evaluator
from .crowdhuman import CrowdHumanEvaluator, CrowdHumanResult, evaluate_crowdhuman
from .kitti import KittiEvaluator, KittiResult, evaluate_kitti
from .voc import VocEvaluator, VocResult

EVALUATORS: dict[str, type[Evaluator]] = {
    "coco": CocoEvaluator,
    "voc": VocEvaluator,
    "crowdhuman": CrowdHumanEvaluator,
    "kitti": KittiEvaluator,
}
"""Evaluators by benchmark, as a data set names its own (`benchmark`)."""

__all__ = [
    "EVALUATORS",
    "CocoEvaluator",
    "CocoResult",
    "CrowdHumanEvaluator",
    "CrowdHumanResult",
    "EvaluationResult",
    "Evaluator",
    "KittiEvaluator",
    "KittiResult",
    "VocEvaluator",
    "VocResult",
    "evaluate_coco",
    "evaluate_crowdhuman",
    "evaluate_kitti",
]
