"""Check that intervals of 95 % hold what they promise, on simulated detections whose AP over endless images is known.

python benchmarks/intervals.py --draws 500 --images 150 --classes 5

Each draw is a new set of images; hard images have more misses, worse boxes and lower scores at once, classes are of
unequal frequency. `covered` is the share of the draws whose interval holds the figure of 8,000 images (92–98 % is
wanted). `clear` is the share in which a paired comparison of the same model with itself (the same images, detections
with errors of their own) finds a difference: at most about 5 % may be.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import numpy as np

from centernet import Detections
from centernet.evaluation import CocoEvaluator
from centernet.evaluation.bootstrap import CocoDraws, draw, interval
from centernet.evaluation.matches import Matches


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def boxes_of(rng: np.random.Generator, number: int) -> tuple[Any, Any]:
    side = np.exp(rng.uniform(np.log(16), np.log(200), number))
    corner = rng.uniform(0, 2000, (number, 2))
    return np.column_stack([corner, corner + side[:, None]]), side


def simulate(rng: np.random.Generator, images: int, classes: int, detectors: int = 1) -> list[CocoEvaluator]:
    """Return an evaluator for each of several detectors of the same kind, on the same images."""
    evaluators = [CocoEvaluator([f"class {i}" for i in range(classes)]) for _ in range(detectors)]
    frequency = 1 / np.arange(1, classes + 1)
    frequency /= frequency.sum()
    for number in range(images):
        count = 1 + rng.poisson(3)
        labels = rng.choice(classes, count, p=frequency)
        truth, side = boxes_of(rng, count)
        ease = rng.normal()
        for evaluator in evaluators:
            seen = rng.random(count) < sigmoid(1.5 + ease)
            shift = rng.normal(0, 0.09, (count, 2)) * side[:, None] * np.exp(-0.2 * ease)
            scores = sigmoid(rng.normal(1, 1, count) + 0.3 * ease)
            false, _ = boxes_of(rng, rng.poisson(4))
            found = np.vstack([(truth + np.hstack([shift, shift]))[seen], false]).astype(np.float32)
            of_class = np.append(labels[seen], rng.choice(classes, len(false), p=frequency))
            score = np.append(scores[seen], sigmoid(rng.normal(-1, 1, len(false)))).astype(np.float32)
            order = np.argsort(-score)
            own = SimpleNamespace(
                image_id=number, boxes=truth, labels=labels, ignore=np.zeros(count, bool), areas=side**2
            )
            evaluator.update(own, Detections(found[order], of_class[order], score[order]))
    return evaluators


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--known", type=int, default=8000, help="images that the known figure is of")
    given = parser.parse_args()
    known = simulate(np.random.default_rng(2**31), given.known, given.classes)[0].compute().stats
    covered: dict[str, list[bool]] = {name: [] for name in known}
    clear: dict[str, list[bool]] = {name: [] for name in known}
    weights = draw(given.images)
    for number in range(given.draws):
        both = simulate(np.random.default_rng(number), given.images, given.classes, detectors=2)
        draws = [CocoDraws.of(Matches.of(one.collected(), given.classes), given.classes, weights) for one in both]
        stats = [one.compute().stats for one in both]
        for name, value in known.items():
            first, second = (one.figures[name] for one in draws)
            found = interval(first, stats[0][name], given.images)
            apart = interval(second - first, stats[1][name] - stats[0][name], given.images)
            assert found is not None and apart is not None
            covered[name].append(found[0] <= value <= found[1])
            clear[name].append(not apart[0] <= 0 <= apart[1])
    print(f"{given.draws} draws of {given.images} images, {given.classes} classes")
    print(f"{'':8}{'known':>8}{'covered':>10}{'clear':>8}")
    for name, value in known.items():
        print(f"{name:8}{value:8.3f}{np.mean(covered[name]):10.3f}{np.mean(clear[name]):8.3f}")


if __name__ == "__main__":
    main()
