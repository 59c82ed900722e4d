"""All figures of one set of detections: COCO's, Pascal VOC's, those of the data's own benchmark, and of tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .coco import CocoEvaluator, CocoResult
from .collecting import EvaluationResult, Evaluator
from .crowdhuman import CrowdHumanEvaluator
from .keypoints import KeypointEvaluator, KeypointResult
from .kitti import KittiEvaluator
from .tracking import COMBINED, TrackingResult
from .voc import VocEvaluator, VocResult

EVALUATORS: dict[str, type[Evaluator]] = {
    "coco": CocoEvaluator,
    "voc": VocEvaluator,
    "crowdhuman": CrowdHumanEvaluator,
    "kitti": KittiEvaluator,
}
"""Evaluators by benchmark, as a data set names its own (`benchmark`)."""

TRACKING_FIGURES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")


@dataclass(frozen=True)
class ValidationResult:
    """The figures of a validation.

    Attributes:
        coco: COCO's.
        voc: Pascal VOC's.
        own: those of the data set's own benchmark; None where it has none beside these.
        tracking: of the tracks in videos; None where there are none.
        keypoints: of those; None where data or model have none.
    """

    coco: CocoResult
    voc: VocResult
    own: EvaluationResult | None = None
    tracking: TrackingResult | None = None
    keypoints: KeypointResult | None = None

    @classmethod
    def of(
        cls,
        collected: Evaluator,
        benchmark: str | None,
        *,
        coco: CocoResult | None = None,
        tracking: TrackingResult | None = None,
        keypoints: KeypointEvaluator | None = None,
    ) -> ValidationResult:
        """Compute the figures of all images that an evaluator has, those of the benchmark (`EVALUATORS`) too.

        COCO's are taken from `coco` where they are known already.
        """
        own = None if benchmark in (None, "coco", "voc") else EVALUATORS[benchmark].of(collected).compute()
        coco = CocoEvaluator.of(collected).compute() if coco is None else coco
        poses = None if keypoints is None else keypoints.compute()
        return cls(coco, VocEvaluator.of(collected).compute(), own, tracking, poses)

    @property
    def stats(self) -> dict[str, float]:
        """All figures by name, as the log has them; those of the own benchmark as ``KITTI/Car/easy/R40``, those of
        keypoints as ``keypoints/AP``."""
        others = [result for result in (self.own, self.keypoints) if result is not None]
        own = {f"{one.title}/{name}": value for one in others for name, value in one.stats.items()}
        tracking = {} if self.tracking is None else tracking_stats(self.tracking)
        return {name: float(value) for name, value in {**self.coco.stats, **self.voc.stats, **own, **tracking}.items()}

    def table(self) -> str:
        """Return the tables of all figures as text."""
        tables = [f"{result.title}\n{result.table()}" for result in (self.voc, self.own, self.keypoints) if result]
        tracks = [] if self.tracking is None else [f"Tracks\n{self.tracking.table()}"]
        return "\n\n".join([self.coco.table(), *tables, *tracks])


def tracking_stats(result: TrackingResult) -> dict[str, float]:
    """Return the main figures of all videos together: their mean over the classes that occur, and those of each."""
    combined = {name: videos[COMBINED] for name, videos in result.classes.items()}
    stats = {}
    if len(combined) > 1:
        stats = {f"{name}/{key}": figures[key] for name, figures in combined.items() for key in TRACKING_FIGURES}
    there = [figures for figures in combined.values() if figures["GT_Dets"]]
    for key in TRACKING_FIGURES:
        values: list[Any] = [figures[key] for figures in there]
        stats[key] = sum(values) / (max(len(values), 1) if key != "IDSW" else 1)
    return {name: float(value) for name, value in stats.items()}  # type: ignore[arg-type]
