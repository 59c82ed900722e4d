"""Figures of merit: COCO's twelve, Pascal VOC's average precision, CrowdHuman's three, KITTI's. Nothing needs torch."""

from centernet.evaluation.coco import ClassResult, CocoEvaluator, CocoResult, evaluate_coco
from centernet.evaluation.crowdhuman import CrowdHumanEvaluator, CrowdHumanResult, evaluate_crowdhuman
from centernet.evaluation.kitti import KittiClassResult, KittiEvaluator, KittiObjects, KittiResult, evaluate_kitti
from centernet.evaluation.voc import VocClassResult, VocEvaluator, VocResult

__all__ = [
    "ClassResult",
    "CocoEvaluator",
    "CocoResult",
    "CrowdHumanEvaluator",
    "CrowdHumanResult",
    "KittiClassResult",
    "KittiEvaluator",
    "KittiObjects",
    "KittiResult",
    "VocClassResult",
    "VocEvaluator",
    "VocResult",
    "evaluate_coco",
    "evaluate_crowdhuman",
    "evaluate_kitti",
]
