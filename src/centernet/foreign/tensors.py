"""The tensors of a foreign network, taken under new names; what is left over can be told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor


class Tensors:
    """Tensors by the file's names, and those that were given names of ours.

    Attributes:
        left: the file's name → tensor, of those that nobody took.
        taken: our name → tensor.
        origin: our name → the file's.
        unused: the file's names of those that no image makes a difference to.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.left = dict(state)
        self.taken: dict[str, Tensor] = {}
        self.origin: dict[str, str] = {}
        self.unused: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def __getitem__(self, name: str) -> Tensor:
        return self.left[name]

    def move(self, pattern: str, ours: str) -> None:
        """Take all tensors whose names begin as the pattern says; the beginning is replaced, as `re.sub` does."""
        for name in [name for name in self.left if re.match(pattern, name)]:
            new = re.sub(f"^(?:{pattern})", ours, name)
            self.taken[new], self.origin[new] = self.left.pop(name), name

    def drop(self, pattern: str) -> None:
        """Note tensors that the network itself does not use."""
        for name in [name for name in self.left if re.match(pattern, name)]:
            del self.left[name]
            self.unused.append(name)

    def rename(self, pattern: str, new: str) -> None:
        """Give tensors that are left other names, as `re.sub` does."""
        self.left = {re.sub(pattern, new, name): value for name, value in self.left.items()}

    def fold_bias(self, convolution: str, norm: str) -> None:
        """Move the bias of a convolution into the mean that the norm behind it subtracts: the result is the same."""
        bias = self.left.pop(f"{convolution}.bias", None)
        mean = self.left.get(f"{norm}.running_mean")
        if bias is not None and mean is not None:
            self.left[f"{norm}.running_mean"] = mean.double().sub(bias.double()).to(mean.dtype)

    def fold_eps(self, norms: Iterable[str], eps: float) -> None:
        """Make norms of another ε equal to those of 1e-5, which ours have."""
        for norm in norms:
            variance = self.left[f"{norm}.running_var"]
            self.left[f"{norm}.running_var"] = variance.double().add(eps - 1e-5).to(variance.dtype)

    def deformable(self) -> list[str]:
        """Return the names of the deformable convolutions that are left."""
        ending = ".conv_offset_mask.weight"
        return [name.removesuffix(ending) for name in self.left if name.endswith(ending)]

    def head(self, ours: str, convolutions: Sequence[str]) -> dict[str, Any]:
        """Take the convolutions of a head's tower, and return its `depth` and, where it has any, `width`."""
        options: dict[str, Any] = {"depth": len(convolutions) - 1}
        for name in (f"{convolutions[0]}.weight", f"{convolutions[0]}.1.weight"):  # the second of a separable one
            if len(convolutions) > 1 and name in self.left:
                options["width"] = len(self.left[name])
        for i, name in enumerate(convolutions):
            self.move(rf"{re.escape(name)}\.", f"{ours}.{2 * i}.")
        return options

    def chain(self, pattern: str) -> list[str]:
        """Return the names of convolutions with bias that match a pattern, in the order of the file."""
        found = (re.fullmatch(rf"({pattern})\.weight", name) for name in self.left)
        return [match[1] for match in found if match and self.left[match[0]].ndim == 4]

    def channels(self, convolution: str) -> int:
        """Return the number of channels that come out of a convolution."""
        return len(self.left[f"{convolution}.weight"])
