"""Any timm model that gives feature maps (`features_only`), strides 4 to 32. Needs the extra `timm`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from centernet.extras import require
from centernet.lineage import Lineage
from centernet.network.backbones.backbone import Backbone, load_weights, pad_same


class Timm(Backbone):
    """A timm model by name: maps of every stride from 4 to 32 that it has.

    Args:
        name: timm's name of the model, such as `tf_efficientnet_lite0`.
        num_stages: how many of the maps to keep; the top ones are dropped. All when None.
        start: further options, those of `Backbone.begin`: pretrained, weights, frozen_stages, frozen_norms (of
            timm's feature stages).
    """

    def __init__(self, name: str, *, num_stages: int | None = None, **start: Any) -> None:
        super().__init__()
        timm = require("timm", "the backbone Timm")
        if not timm.is_model(name):
            near = timm.list_models(f"*{name[:8]}*")[:8]
            raise ValueError(f"timm has no model {name!r}; some with a like name: {', '.join(near) or 'none'}")
        strides: list[int] = _create(name).feature_info.reduction()
        kept = [i for i, stride in enumerate(strides) if 4 <= stride <= 32]
        if num_stages is not None:
            if not 1 <= num_stages <= len(kept):
                raise ValueError(f"num_stages={num_stages}: {name} has 1 to {len(kept)} maps of stride 4 to 32")
            kept = kept[:num_stages]
        if not kept:
            raise ValueError(f"timm's {name} has no maps of stride 4 to 32 (strides {strides}): choose another model")
        self.model = _create(name, out_indices=kept)
        # timm computes such padding from the size of each map; exporters take minutes, or for ever, to see through it.
        pad_same(self.model, timm.layers.Conv2dSame)
        self.out_strides = tuple(strides[i] for i in kept)
        self.out_channels = tuple(self.model.feature_info.channels())
        self._channels_last = str(getattr(self.model, "output_fmt", "NCHW")).endswith("NHWC")  # some transformers
        self.begin(
            name,
            lambda: timm.create_model(name, pretrained=True).state_dict(),
            origin=_origin(name),
            padding="symmetric",
            **start,
        )

    def load(self, state: dict[str, Tensor], *, source: str, ignored: Sequence[str] = ()) -> None:
        """Fill the backbone; timm's feature extractors rename `blocks.0` to `blocks_0` where they flatten the model."""
        own = self.model.state_dict()
        flat = {name: name.replace("blocks.", "blocks_", 1) for name in state}
        renamed = {(name if name in own else flat[name] if flat[name] in own else name): v for name, v in state.items()}
        unused = tuple(name for name in renamed if name not in own)
        load_weights(self.model, renamed, source=source, ignored=(*unused, *ignored))

    def stages(self) -> list[nn.Module]:
        return list(self.model.children())

    def forward(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.model(images)
        return [x.permute(0, 3, 1, 2) for x in maps] if self._channels_last else maps


def _create(name: str, **arguments: Any) -> Any:
    """timm's feature extractor, for inputs of any size where the model allows it."""
    import timm

    try:
        return timm.create_model(name, features_only=True, strict_img_size=False, **arguments)
    except TypeError:  # only transformers have an input size to be strict about
        return timm.create_model(name, features_only=True, **arguments)


def _origin(name: str) -> Lineage:
    """Return the lineage of timm's weights for a model."""
    import timm

    known = timm.get_pretrained_cfg(name)
    sources = [text for key in ("url", "hf_hub_id", "origin_url") if (text := getattr(known, key, None))]
    return Lineage(name=f"timm {name}", sources=tuple(map(str, sources)), licence=getattr(known, "license", None) or "")
