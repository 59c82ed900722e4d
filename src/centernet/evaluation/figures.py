"""The figures of a validation run: COCO's and Pascal VOC's, and those of the data set's own benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .coco import CocoEvaluator
from .collecting import EvaluationResult, Evaluator
from .crowdhuman import CrowdHumanEvaluator
from .kitti import KittiEvaluator
from .voc import VocEvaluator

EVALUATORS: Mapping[str, Callable[[Sequence[str]], Evaluator]] = {
    "coco": CocoEvaluator,
    "voc": VocEvaluator,
    "crowdhuman": CrowdHumanEvaluator,
    "kitti": KittiEvaluator,
}
"""Evaluators by the benchmark that a data set names (its attribute `benchmark`); each is made with the class names."""

_ALWAYS = ("coco", "voc")


def compute_figures(collected: Evaluator, benchmark: str | None = None) -> dict[str, EvaluationResult]:
    """Compute the figures of the images that an evaluator has collected.

    Args:
        collected: any evaluator.
        benchmark: the data set's own, a key of `EVALUATORS`; None: COCO's and Pascal VOC's figures are all.

    Returns:
        By benchmark: ``coco`` and ``voc``, and the data set's own.

    Raises:
        ValueError: there was no image.
    """
    results = {}
    for name in (*_ALWAYS, *([benchmark] if benchmark is not None and benchmark not in _ALWAYS else [])):
        evaluator = EVALUATORS[name](collected.class_names)
        evaluator.merge(collected)
        results[name] = evaluator.compute()
    return results


def figures_by_name(results: Mapping[str, EvaluationResult]) -> dict[str, float]:
    """Join the figures of several benchmarks: COCO's and VOC's by their own names, others as ``kitti/Car/easy/R40``."""
    return {
        name if benchmark in _ALWAYS else f"{benchmark}/{name}": float(value)
        for benchmark, result in results.items()
        for name, value in result.stats.items()
    }
