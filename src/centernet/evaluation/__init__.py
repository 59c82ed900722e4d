"""Figures of detections: COCO's twelve and its ten for keypoints, Pascal VOC's average precision, CrowdHuman's three,
KITTI's; without torch.

Figures of tracks are in `centernet.evaluation.tracking`.
"""

from .coco import CocoEvaluator as CocoEvaluator, CocoResult as CocoResult, evaluate_coco as evaluate_coco
from .collecting import EvaluationResult as EvaluationResult, Evaluator as Evaluator
from .crowdhuman import (
    CrowdHumanEvaluator as CrowdHumanEvaluator,
    CrowdHumanResult as CrowdHumanResult,
    evaluate_crowdhuman as evaluate_crowdhuman,
)
from .figures import EVALUATORS as EVALUATORS, ValidationResult as ValidationResult
from .files import FilesResult as FilesResult, evaluate_files as evaluate_files
from .keypoints import (
    KeypointEvaluator as KeypointEvaluator,
    KeypointResult as KeypointResult,
    evaluate_keypoints as evaluate_keypoints,
)
from .kitti import KittiEvaluator as KittiEvaluator, KittiResult as KittiResult, evaluate_kitti as evaluate_kitti
from .voc import VocEvaluator as VocEvaluator, VocResult as VocResult
