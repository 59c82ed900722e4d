"""Start a training with the weights of another model, of other classes or with other heads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike

import torch
from torch import Tensor

from centernet.lineage import started_from
from centernet.network import Network, load_network
from centernet.trust import Trust

logger = logging.getLogger(__name__)


def start_from(network: Network, source: str | PathLike[str], *, trust: Trust = False) -> list[str]:
    """Give a network the weights of a trained one, wherever both have a tensor of the same name and shape.

    Of the head that finds peaks, classes that both know by name keep their weights, and the others begin anew. What
    only a loss needs, such as a classifier over identities, begins anew. What was taken over is logged. The network's
    `lineage` says from now on that it started from the other.

    Args:
        network: to be trained; with `class_names`, else its classes begin anew.
        source: a checkpoint (``.ckpt``), a folder of `save_pretrained`, or the name of a model in the package.
        trust: as of `centernet.network.load_network`.

    Returns:
        Names of the tensors that begin anew, wholly or for some classes.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: nothing of its backbone fits.
    """
    other = load_network(source, trust=trust)
    for name in ("mean", "std"):
        had, now = (getattr(part.preprocessing, name) for part in (other, network))
        if tuple(had) != tuple(now):
            text = "start from %s: it learned on images of %s %s, model.preprocessing.%s is %s"
            logger.warning(text, source, name, list(had), name, list(now))
    given, own = other.state_dict(), network.state_dict()
    by_class = _tensors_by_class(network) & _tensors_by_class(other)
    shared = [name for name in other.class_names or () if name in (network.class_names or ())]
    anew = []
    for name, tensor in own.items():
        if name.startswith(network.training_only()):
            continue
        if name in by_class and other.class_names != network.class_names and name in given:
            taken = _copy_classes(tensor, given[name], network.class_names or (), other.class_names or ())
            anew += [name] * (taken < len(tensor))
        elif name in given and given[name].shape == tensor.shape:
            tensor.copy_(given[name])
        else:
            anew.append(name)
    if all(name in anew for name in own if name.startswith("backbone.")):
        raise ValueError(
            f"{source}: nothing of its backbone fits that of the model; give model.backbone the same class"
        )
    network.lineage = started_from(source, other.lineage)
    parts = sorted({".".join(name.split(".")[:2]) for name in anew})
    logger.info(
        "start from %s: %d of %d tensors; classes taken over: %s; anew: %s",
        source,
        len(own) - len(anew),
        len(own),
        ", ".join(shared) or "none",
        ", ".join(parts) or "nothing",
    )
    return anew


def _tensors_by_class(network: Network) -> set[str]:
    """Return the names of the tensors whose first axis is the classes: the last layer of the head that finds peaks."""
    head = network.heads[network.finder]
    classes = network.num_classes
    modules = [name for name, module in head.named_modules() if getattr(module, "out_channels", 0) == classes]
    return {f"heads.{network.finder}.{name}.{part}" for name in modules[-1:] for part in ("weight", "bias")}


@torch.no_grad()
def _copy_classes(tensor: Tensor, given: Tensor, names: Sequence[str], given_names: Sequence[str]) -> int:
    """Copy the rows of the classes that both know. Returns their number."""
    if given.shape[1:] != tensor.shape[1:]:
        return 0
    rows = [row for row, name in enumerate(names) if name in given_names]
    tensor[rows] = given[[given_names.index(names[row]) for row in rows]].to(tensor)
    return len(rows)
