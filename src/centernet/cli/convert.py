"""`centernet convert FILE`: read a network of another project, and write it as a model of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from centernet.cli.arguments import command_parser

EPILOG = """examples:
  centernet convert ctdet_coco_dla_2x.pth --output dla34
  centernet convert fairmot_dla34.pth --output fairmot --class-names person
  centernet convert centernet_resnet50_v2_512x512_coco17_tpu-8 --output r50v2
  centernet convert zoo:mmdet/centernet-r18-dcn --output r18
  centernet convert ctdet_coco_resdcn18.pth --compare results.json val2017

It reads files of the original CenterNet, FairMOT, TTFNet, MMDetection, CenterNet-better(-plus), Simple-CenterNet and
TensorFlow's Object Detection API; which network it is, is known by the tensors in the file. With --compare, boxes that
the other project wrote (in COCO's form for results) are compared with ours for the same images, whose names are their
ids."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; what it wrote is its last output."""
    parser = command_parser("convert", "Read a network of another project, and write it as a model of ours.", EPILOG)
    text = "file of weights, or folder of TensorFlow's, as its project published it; or a name of the zoo, zoo:…"
    parser.add_argument("source", metavar="FILE", help=text)
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for the model; default: nothing is written")
    parser.add_argument(
        "--class-names", type=_names, metavar="NAME,NAME", help="in the order of the channels; default: the data set's"
    )
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("RESULTS", "IMAGES"), help="compare with boxes of the other project"
    )
    given = parser.parse_args(arguments)
    if given.output is None and given.compare is None:
        parser.error("give --output, --compare or both")
    if given.output is not None and given.output.exists() and not given.output.is_dir():
        raise ValueError(f"{given.output}: is a file; --output is a folder")

    import torch

    from centernet.foreign import open_foreign
    from centernet.network.weights import CONFIG, WEIGHTS, save_network

    found = open_foreign(given.source, class_names=given.class_names)
    heads = ", ".join(found.network.heads)
    print(f"{given.source}: {found.project}: {found.kind}; {found.network.num_classes} classes, heads {heads}")
    print("".join(f"  {note}\n" for note in found.notes), end="")
    if given.compare is not None:
        from centernet.foreign.comparing import compare

        print(compare(found.network, *given.compare))
    if given.output is not None:
        folder = save_network(found.network, given.output, dtype=torch.float16 if found.half else torch.float32)
        print(f"wrote {folder / CONFIG} and {folder / WEIGHTS}; next:\n  centernet detect IMAGES --model {folder}")
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]
