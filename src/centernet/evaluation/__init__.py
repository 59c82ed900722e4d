"""Figures of detections: COCO's twelve, Pascal VOC's average precision, CrowdHuman's three, KITTI's; without torch.

Figures of tracks are in `centernet.evaluation.tracking`.
"""

from .coco import CocoEvaluator as CocoEvaluator
from .coco import CocoResult as CocoResult
from .coco import evaluate_coco as evaluate_coco
from .collecting import EvaluationResult as EvaluationResult
from .collecting import Evaluator as Evaluator
from .crowdhuman import CrowdHumanEvaluator as CrowdHumanEvaluator
from .crowdhuman import CrowdHumanResult as CrowdHumanResult
from .crowdhuman import evaluate_crowdhuman as evaluate_crowdhuman
from .kitti import KittiEvaluator as KittiEvaluator
from .kitti import KittiResult as KittiResult
from .kitti import evaluate_kitti as evaluate_kitti
from .voc import VocEvaluator as VocEvaluator
from .voc import VocResult as VocResult

EVALUATORS: dict[str, type[Evaluator]] = {
    "coco": CocoEvaluator,
    "voc": VocEvaluator,
    "crowdhuman": CrowdHumanEvaluator,
    "kitti": KittiEvaluator,
}
"""Evaluators by benchmark, as a data set names its own (`benchmark`)."""
