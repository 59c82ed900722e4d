"""Start a training with the weights of another model, of other classes, with other heads or another level."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable
from os import PathLike

import torch
from torch import Tensor

from centernet.annotations.class_names import places_of
from centernet.data.batch import Batch
from centernet.lineage import started_from
from centernet.network import Network, load_network
from centernet.network.levels import Levels, parts
from centernet.network.necks import GhostPAN
from centernet.training.likeness import answers, strongest
from centernet.trust import Trust

logger = logging.getLogger(__name__)

LEAST = 0.1
"""An answer below it is chance: a class on whose objects nothing answers more begins anew."""


@torch.no_grad()
def start_from(
    network: Network, source: str | PathLike[str], batches: Iterable[Batch] | None = None, *, trust: Trust = False
) -> list[str]:
    """Give a network the weights of a trained one, wherever both have a tensor of the same name and shape.

    Of the head that finds peaks, classes that both know by name keep their rows (``aeroplane`` is ``airplane``), and so
    do keypoints. A new class begins from the known classes that answer most on its objects: the mean of their rows,
    weighted by the squares of the answers; without images to see that on, it begins anew, as a new keypoint does. A
    level that the trained one lacks begins as the next coarser one. What only a loss needs, such as a classifier over
    identities, begins anew. What was taken over is logged. The network's `lineage` says from now on that it started
    from the other.

    Args:
        network: to be trained; with `class_names`, else its classes begin anew.
        source: a checkpoint (``.ckpt``), a folder of `save_pretrained`, or the name of a model in the package.
        batches: some of the training images as the network is to see them; read only where classes are new.
        trust: as of `centernet.network.load_network`.

    Returns:
        Names of the tensors that begin anew, wholly or for some classes.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: nothing of its backbone fits.
    """
    other = load_network(source, trust=trust)
    for name in ("mean", "std", "channels"):
        had, now = (_listed(getattr(part.preprocessing, name)) for part in (other, network))
        if had != now:
            text = "start from %s: it learned on images of %s %s, model.preprocessing.%s is %s"
            logger.warning(text, source, name, had, name, now)
    given, own = other.state_dict(), network.state_dict()
    by_class, mixture = _tensors_by_class(network), None
    if network.class_names is None or network.class_names != other.class_names:
        mixture = _mixture(network, other, batches)
    anew, rows = [], _known_rows(network, other)
    for name, tensor in own.items():
        if name.startswith(network.training_only()):
            continue
        value = given.get(_counterpart(name, given, network, other))
        if value is not None and name in by_class and mixture is not None:
            if value.shape[1:] != tensor.shape[1:]:
                anew.append(name)
                continue
            begun = mixture.sum(1) > 0
            tensor[begun] = (
                (mixture[begun] @ value.float().reshape(len(value), -1)).reshape(-1, *value.shape[1:]).to(tensor)
            )
            anew += [name] * (not begun.all())
        elif value is not None and name in rows and value.shape[1:] == tensor.shape[1:]:
            known = torch.tensor(rows[name]) >= 0
            tensor[known] = value[torch.tensor(rows[name])[known]].to(tensor)
            anew += [name] * (not known.all())
        elif value is not None and value.shape == tensor.shape:
            tensor.copy_(value)
        else:
            anew.append(name)
    if isinstance(network.neck, GhostPAN) and network.strides[1:] == other.strides:
        network.neck.begin_finest()
    if all(name in anew for name in own if name.startswith("backbone.")):
        raise ValueError(
            f"{source}: nothing of its backbone fits that of the model; give model.backbone the same class"
        )
    network.lineage = started_from(source, other.lineage)
    shown = sorted({".".join(name.split(".")[:2]) for name in anew})
    shared = _shared(network, other)
    logger.info(
        "start from %s: %d of %d tensors; classes taken over: %s; anew: %s",
        source,
        len(own) - len(anew),
        len(own),
        ", ".join(shared) or "none",
        ", ".join(shown) or "nothing",
    )
    return anew


def _known_rows(network: Network, other: Network) -> dict[str, list[int]]:
    """Return the rows of tensors that heads take from those of the other network, see `Head.known_rows`."""
    rows: dict[str, list[int]] = {}
    known = {column.name: column.skeleton for column in other.columns if column.skeleton}
    for column in network.columns:
        theirs = known.get(column.name)
        if column.skeleton is not None and theirs is not None and theirs.names != column.skeleton.names:
            shared = [name for name in column.skeleton.names if name in theirs.names]
            text = "%s: the start knows %d of %d (%s), which keep what it learned; the others begin anew"
            logger.info(text, column.name, len(shared), len(column.skeleton), ", ".join(shared) or "none")
    for name, head in network.heads.items():
        levels = [name] if not isinstance(head, Levels) else [f"{name}.{level}" for level in head]
        before = parts(other.heads[name])[0] if name in other.heads else None
        for level, part in zip(levels, parts(head), strict=True):
            if before is not None and type(part) is type(before):
                found = part.known_rows(before)
                rows |= {f"heads.{level}.{tensor}": places for tensor, places in found.items()}
    return rows


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shared(network: Network, other: Network) -> list[str]:
    """Return the classes that both know, by the names that the network to be trained has for them."""
    names = network.class_names or ()
    return [name for name, place in zip(names, places_of(names, other.class_names or ()), strict=True) if place >= 0]


def _mixture(network: Network, other: Network, batches: Iterable[Batch] | None) -> Tensor:
    """Return the share that each known class has in each class, rows of sum 1; of 0 where one begins anew."""
    names, known = network.class_names or (), other.class_names or ()
    mixture = torch.zeros(network.num_classes, other.num_classes)
    places = places_of(names, known)
    for row, place in enumerate(places):
        if place >= 0:
            mixture[row, place] = 1.0
    if batches is None or not known or -1 not in places:
        return mixture
    answer = answers(other, batches, network.num_classes)
    for row, name in enumerate(names):
        if places[row] >= 0:
            continue
        begins = strongest(answer[row], known)
        if max(begins.values()) < LEAST:
            logger.info("%s starts anew: nothing that the start knows answers on it", name)
            continue
        text = ", ".join(f"{other_name} {value:.2f}".replace(" 0.", " .") for other_name, value in begins.items())
        logger.info("%s starts from %s", name, text)
        total = sum(value**2 for value in begins.values())
        for other_name, value in begins.items():
            mixture[row, known.index(other_name)] = value**2 / total
    return mixture


def _tensors_by_class(network: Network) -> set[str]:
    """Return the names of the tensors whose first axis is the classes: the last layers of the head that finds peaks."""
    head, names = network.heads[network.finder], []
    levels = head.keys() if isinstance(head, Levels) else [""]
    for level, part in zip(levels, parts(head), strict=True):
        modules = [name for name, m in part.named_modules() if getattr(m, "out_channels", 0) == network.num_classes]
        names += [".".join(filter(None, ("heads", network.finder, level, name))) for name in modules[-1:]]
    return {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def _counterpart(name: str, given: Container[str], network: Network, other: Network) -> str:
    """Return the name that a tensor has in the other network: on the next coarser level, where that lacks its own."""
    words = name.split(".")
    coarser = [stride for stride in other.strides if stride > network.stride]
    if name in given or not coarser or words[0] == "backbone" or words[2:3] != [str(network.stride)]:
        return name
    return ".".join([*words[:2], str(min(coarser)), *words[3:]])
