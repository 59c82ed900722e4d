"""A foreign network in the words of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from centernet.foreign.tensors import Tensors

Section = dict[str, Any]


class Part(NamedTuple):
    """A part of a network: the name of its class, and its arguments."""

    kind: str
    arguments: dict[str, Any]

    def section(self) -> Section:
        return {"class_path": self.kind, "init_args": self.arguments}


@dataclass
class Description:
    """A network that was recognised.

    Attributes:
        network: what it is, for people.
        backbone, neck, heads: its parts.
        num_classes: channels of its heatmap.
        preprocessing: of its project, as values of `Preprocessing`.
        options: further ones of the network, such as `num_detections`.
        class_names: those of its project, where they do not follow from their number.
        notes: what was assumed.
    """

    network: str
    backbone: Part
    neck: Part
    heads: dict[str, Part]
    num_classes: int
    preprocessing: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Family:
    """Networks of one project.

    Attributes:
        project: whose they are.
        marks: patterns of the beginnings of names, each of which some name of a file of the family has.
        describe: takes the tensors under our names, and says what the network is.
    """

    project: str
    marks: tuple[str, ...]
    describe: Callable[[Tensors], Description]
