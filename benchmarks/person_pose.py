"""Evaluate a pose model on COCO's keypoints: OKS AP and box AP of persons, with intervals, for several ways to resize.

python benchmarks/person_pose.py --annotations person_keypoints_val2017.json --images val2017

`cv2` is OpenCV's bilinear interpolation without averaging, and black to the next multiples of 32 at the bottom and the
right; `package` the model's own preprocessing. --apart FILE names images, one a line, whose figures are said apart.
Intervals are those of 95 % by drawing images again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from centernet.images import read_image
from centernet.network import load_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True, help="COCO's person keypoints")
    parser.add_argument("--images", required=True, help="their folder")
    parser.add_argument("--model", default="person-pose", help="a name, a folder or a checkpoint")
    parser.add_argument("--side", type=int, default=384, help="the longer side of the input")
    parser.add_argument("--apart", help="a text file that names images, whose figures are said apart, too")
    parser.add_argument("--draws", type=int, default=200, help="of the bootstrap; 0 for none")
    parser.add_argument("--ways", nargs="+", default=["cv2", "package"], choices=["cv2", "package"])
    given = parser.parse_args()
    truth = json.loads(Path(given.annotations).read_text())
    network = load_network(given.model)
    apart = set(Path(given.apart).read_text().split()) if given.apart else set()
    for way in given.ways:
        rows = [row for image in truth["images"] for row in found(network, Path(given.images), image, way, given.side)]
        chosen = {"all": [image["id"] for image in truth["images"]]}
        if apart:
            chosen["apart"] = [image["id"] for image in truth["images"] if image["file_name"] in apart]
            chosen["others"] = [image["id"] for image in truth["images"] if image["file_name"] not in apart]
        for name, ids in chosen.items():
            report(f"{way}, {given.side} px, {name}", truth, rows, ids, given.draws)


def found(network, folder: Path, image: dict, way: str, side: int) -> list[dict]:
    """Return rows of a COCO result file."""
    pixels = read_image(folder / image["file_name"])
    size = pixels.shape[:2]
    if way == "cv2":
        scale = side / max(size)
        height, width = (max(1, round(length * scale)) for length in size)
        canvas = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
        canvas[:height, :width] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        scales = np.array([width / size[1], height / size[0]])
    else:
        canvas = network.preprocessing(pixels)
        matrix = network.preprocessing.matrix(size)
        assert not matrix[:, 2].any(), "the image is not at the top left"
        scales = matrix[[0, 1], [0, 1]]
    with torch.inference_mode():
        batch = torch.from_numpy(canvas)[None].permute(0, 3, 1, 2)
        detections = network.decode_detections(network(network.normalize(batch)))
    boxes = detections["bboxes"][0].double().numpy() / np.tile(scales, 2)
    boxes = boxes.clip(0, [*size[::-1], *size[::-1]])
    points = detections["keypoints"][0].double().numpy()
    points[..., :2] /= scales
    return [
        {
            "image_id": image["id"],
            "category_id": 1,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "keypoints": keypoints.reshape(-1).tolist(),
            "score": score,
        }
        for box, keypoints, score in zip(boxes.tolist(), points, detections["scores"][0].tolist(), strict=True)
    ]


def report(title: str, truth: dict, rows: list[dict], ids: list[int], draws: int) -> None:
    generator = np.random.default_rng(0)
    texts = []
    persons = {one["image_id"] for one in truth["annotations"] if one["num_keypoints"]}
    for kind in ("keypoints", "bbox"):
        scores = figures(truth, rows, ids, kind)
        drawn = [figures(truth, rows, generator.choice(ids, len(ids)).tolist(), kind) for _ in range(draws)]
        text = ", ".join(f"{name} {scores[name]:.4f}" for name in ("AP", "AP50", "AP75"))
        if drawn:
            low, high = np.percentile([one["AP"] for one in drawn], [2.5, 97.5])
            text += f" (AP {low:.3f}–{high:.3f})"
        texts.append(f"{kind}: {text}")
    print(f"{title}: {'; '.join(texts)}; {len(ids)} images, {len(persons & set(ids))} with keypoints", flush=True)


def figures(truth: dict, rows: list[dict], ids: list[int], kind: str) -> dict[str, float]:
    """Return AP, AP50 and AP75 of images, each as often as its id comes."""
    of_image: dict[int, list[dict]] = {}
    found_in: dict[int, list[dict]] = {}
    for one in truth["annotations"]:
        of_image.setdefault(one["image_id"], []).append(one)
    for row in rows:
        found_in.setdefault(row["image_id"], []).append(row)
    known = COCO()
    annotations = [one | {"image_id": n} for n, key in enumerate(ids) for one in of_image.get(key, ())]
    annotations = [one | {"id": n + 1} for n, one in enumerate(annotations)]
    images = [{"id": n} for n in range(len(ids))]
    known.dataset = {"images": images, "annotations": annotations, "categories": truth["categories"]}
    results = [row | {"image_id": n} for n, key in enumerate(ids) for row in found_in.get(key, ())]
    if kind == "bbox":
        results = [{key: value for key, value in row.items() if key != "keypoints"} for row in results]
    else:
        results = [{key: value for key, value in row.items() if key != "bbox"} for row in results]
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("AP", "AP50", "AP75"), evaluation.stats[:3].tolist(), strict=True))


if __name__ == "__main__":
    main()
