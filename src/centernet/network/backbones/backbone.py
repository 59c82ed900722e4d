"""What every backbone is: stages run one after another, and the strides at which their maps are handed on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)

Padding = Literal["symmetric", "same"]


class Backbone(nn.Module):
    """A backbone: `forward` gives one map for each entry of `out_channels` and `out_strides`, finest first.

    A part of one's own sets `out_channels` and `out_strides` and returns the maps in that order;
    `centernet.testing.check_backbone` runs the contract over it.

    Attributes:
        out_channels: channels of each map.
        out_strides: input pixels a cell of each map, ascending.
    """

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images N×3×H×W float, H and W multiples of the last stride → maps N×C×(H/stride)×(W/stride)."""
        raise NotImplementedError

    def stages(self) -> list[nn.Module]:
        """The parts in order, for freezing: the stem first."""
        raise NotImplementedError

    def simplify(self) -> None:
        """Leave out, in place, what no picture makes a difference to. Exports call it on their copy of the model."""

    def freeze(self, num_stages: int, *, norms: bool = False) -> None:
        """Fix the first `num_stages` stages, and let the others learn.

        Args:
            num_stages: how many stages get no gradients; their batch norms keep their statistics.
            norms: all batch norms keep their statistics, also where weights learn.
        """
        stages = self.stages()
        if not 0 <= num_stages <= len(stages):
            raise ValueError(f"frozen_stages={num_stages}: {type(self).__name__} has {len(stages)} stages")
        self._num_frozen, self._frozen_norms = num_stages, norms
        for i, stage in enumerate(stages):
            stage.requires_grad_(i >= num_stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As `nn.Module.train`, but frozen stages and norms stay in evaluation mode."""
        super().train(mode)
        for stage in self.stages()[: getattr(self, "_num_frozen", 0)]:
            stage.eval()
        if getattr(self, "_frozen_norms", False):
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class Conv2dSame(nn.Conv2d):
    """A strided convolution padded as TensorFlow's SAME on even sizes: the odd pixel goes to the bottom and the right.

    Weights that were trained so see a shifted picture under symmetric padding.
    """

    @classmethod
    def from_conv(cls, conv: nn.Conv2d) -> Conv2dSame:
        """The same convolution, sharing its weight."""
        same = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            stride=conv.stride,  # type: ignore[arg-type]
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        same.weight, same.bias = conv.weight, conv.bias
        return same

    def forward(self, x: Tensor) -> Tensor:
        total_h, total_w = self.kernel_size[0] - self.stride[0], self.kernel_size[1] - self.stride[1]
        before_h, before_w = total_h // 2, total_w // 2
        return super().forward(F.pad(x, (before_w, total_w - before_w, before_h, total_h - before_h)))


def pad_same(module: nn.Module, kind: type[nn.Conv2d] = nn.Conv2d) -> None:
    """Replace, in place, every strided convolution of a kind that is wider than its stride by `Conv2dSame`."""
    for name, child in module.named_children():
        if isinstance(child, kind) and child.kernel_size[0] > child.stride[0] > 1 == child.dilation[0]:
            setattr(module, name, Conv2dSame.from_conv(child))
        else:
            pad_same(child, kind)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file or of a PyTorch checkpoint (read with `weights_only=True`), as float32."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist: give the path of a .safetensors or .pth file")
    state: object
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is no readable safetensors file ({error})") from error
    else:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{path} is no PyTorch weights file that loads with weights_only=True ({type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else 'no message'}); save a plain state_dict instead"
            ) from error
        state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict (names → tensors); save model.state_dict()")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_weights(
    module: nn.Module,
    state: dict[str, Tensor],
    *,
    source: str,
    ignored: Iterable[str] = ("classifier.", "fc.", "head."),
) -> None:
    """Fill a backbone and say how many tensors were loaded and which were not.

    Args:
        module: what is filled.
        state: names → tensors; the prefixes `module.`, `backbone.` and `model.` are taken off where all names have one.
        source: where the tensors are from, for messages.
        ignored: prefixes of names that a backbone leaves out (its classifier); they are counted, not complained about.

    Raises:
        ValueError: a tensor of another shape, or weights for less than all of the backbone.
    """
    for prefix in ("module.", "backbone.", "model."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    own = module.state_dict()
    wrong = [name for name, value in state.items() if name in own and own[name].shape != value.shape]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{source}: {len(wrong)} tensors have another shape than {type(module).__name__}'s, first {name}: "
            f"{tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the network; is it another variant?"
        )
    found = {name: value for name, value in state.items() if name in own}
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"{source}: has {len(found)} of the tensors of {type(module).__name__}, but not {len(missing)} others, "
            f"first {missing[0]}; the file's names begin {', '.join(list(state)[:3])}: is it another network?"
        )
    unused = [name for name in state if name not in own]
    surprising = [name for name in unused if not name.startswith(tuple(ignored))]
    module.load_state_dict(found, strict=False)
    message = f"{type(module).__name__}: {len(found)} tensors loaded from {source}, {len(unused)} left out"
    if unused:
        message += f" ({', '.join(unused[:4])}{', …' if len(unused) > 4 else ''})"
    logger.info(message)
    if surprising:
        logger.warning("%s: no place in the network for %s", source, ", ".join(surprising[:8]))


def pretrained_or_hint(download: object, *, name: str) -> dict[str, Tensor]:
    """A hub's state dict, or an error that says which file to give when it cannot be reached.

    Args:
        download: a callable without arguments that returns names → tensors.
        name: the network's name, for the message.
    """
    try:
        state: dict[str, Tensor] = download()  # type: ignore[operator]
    except Exception as error:
        raise RuntimeError(
            f"pretrained: true needs to download the ImageNet weights of {name}, and that failed "
            f"({type(error).__name__}: {error}). Without a network, set `pretrained: false` and "
            f"`weights: path/to/{name}.safetensors` (or .pth) to a file of its state dict."
        ) from error
    return state


def check_choice(value: str, choices: Sequence[str], *, key: str) -> None:
    """Raise a ValueError that lists the choices, and the nearest, when `value` is none of them."""
    if value not in choices:
        from difflib import get_close_matches

        near = get_close_matches(value, choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{key}={value!r} is unknown{hint} Choices: {', '.join(choices)}")
