"""AP of a model on images that are normalised in another way than its own, as tensors given to `model(images)` may be.

python benchmarks/normalization.py --annotations SHARED/data/voc2007/val.json --images SHARED/data/voc2007/JPEGImages
"""

from __future__ import annotations

import argparse

import torch

from centernet.data import COCO
from centernet.export import accuracy
from centernet.images import Preprocessing
from centernet.network import load_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--model", default="voc-lite", help="a name, a folder or a checkpoint")
    given = parser.parse_args()
    dataset, network = COCO(given.annotations, given.images), load_network(given.model)
    forms = {
        "the model's own: `model.preprocessing.normalize(image)`": network.preprocessing,
        "ImageNet's: `A.Normalize()`": Preprocessing(),
        "none but [0, 1]: `image / 255`": Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)),
    }
    print(f"{given.model} on {len(dataset)} images\n\n| normalisation | AP | AP50 |\n|---|---|---|", flush=True)
    for name, form in forms.items():
        mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (form.mean, form.std))
        network.normalize = lambda images, mean=mean, std=std: (images.float() - mean) / std  # what Detector calls
        stats = accuracy(network, dataset).stats
        print(f"| {name} | {stats['AP']:.3f} | {stats['AP50']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
