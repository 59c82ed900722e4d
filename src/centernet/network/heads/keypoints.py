"""Keypoints: where the parts of each object are, told from its centre, and found again in a heatmap of each part.

Sources: https://arxiv.org/abs/1904.07850, section 5.2; its code's, and TensorFlow's, ways to match the two; MoveNet,
https://github.com/tensorflow/tfhub.dev (google/movenet/multipose/lightning), which looks for the best cell near each
regressed place instead of for the nearest peak.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from centernet.column import Column
from centernet.network.heads.head import Head, tower
from centernet.ops import Peaks, Targets, best_cells, focal_loss, gather_at, l1_loss, nearest_peaks
from centernet.ops.targets import Radius
from centernet.skeleton import named

Search = Literal["gaussian", "movenet", "original", "tensorflow"]

SURE = 0.126953125
"""The score of a keypoint above which it has a say in its object's score; MoveNet's, a float16."""
MARGIN = {"gaussian": 0.1, "movenet": 0.0, "original": 0.0, "tensorflow": 0.1}
"""By which the box is larger in which a keypoint is sought, on each side, as a share of its sides."""


class KeypointHead(Head):
    """K keypoints of each object; detections gain `keypoints`, B×N×K×3 float32: x and y in input pixels, and a score.

    Its maps are `regression` (x0, y0, x1, … in cells from the centre's cell), `heatmap` (one channel a keypoint) and
    `offset` (where in its cell a keypoint lies). It learns from the field `keypoints` of the data, N×K×3: x, y and
    visibility (0 not labelled, 1 hidden, 2 visible). In the box of an object without a labelled keypoint the heatmap
    learns nothing.

    Args:
        skeleton: the name of one (`coco_person`), or `names`, `flip_pairs`, `edges` and `sigmas` of one.
        heatmap: without it keypoints are where the regression says, and have their object's score.
        offset: `each` keypoint has its own, all have one (`shared`, the original's), or `none`: the middle of the cell.
        search: how the heatmap improves the regressed place. `gaussian`: by the cell in the box, and a tenth around,
            where heatmap times a Gaussian around that place is highest, which is .15 of the box's larger side wide.
            That is the keypoint's score, and the object's is its own times the mean of scores above .127. `movenet`:
            the same with a Gaussian as wide for all objects, and the score of the best of all objects there.
            `original`: by the nearest peak above .1, in the box and within .3 of its larger side. `tensorflow`: the
            same in a box that is a tenth larger on each side. In these two a keypoint without a peak scores .1.
        radius: of the heatmap's blobs, from the object's box: `original`, `corrected` or `ellipse`.
        min_overlap: IoU that a shifted box keeps, for the first two.
        alpha: share of the box that the ellipse spans.
        offset_radius: cells around a keypoint that learn its offset; TensorFlow has 3.
        logit_clamp: keep probabilities within [c, 1 − c] in the focal loss (the original: 1e-4).
        regression_weight: of the regression's loss.
        heatmap_weight: of the heatmap's.
        offset_weight: of the offset's.
        prior: probability that every cell of the heatmap starts with.
        layers: further options, those of `tower`, for each map: width, depth, convolution and norm.
    """

    reads_boxes = True

    def __init__(
        self,
        in_channels: int,
        stride: int,
        num_classes: int,
        *,
        skeleton: str | Mapping[str, Any] = "coco_person",
        heatmap: bool = True,
        offset: Literal["each", "shared", "none"] = "each",
        search: Search = "gaussian",
        radius: Radius = "original",
        min_overlap: float = 0.7,
        alpha: float = 0.54,
        offset_radius: int = 0,
        logit_clamp: float | None = None,
        regression_weight: float = 1.0,
        heatmap_weight: float = 1.0,
        offset_weight: float = 1.0,
        prior: float = 0.1,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.skeleton = named(skeleton)
        count = self.count = len(self.skeleton)
        self.fields = self.columns = (Column("keypoints", "points", (count, 3), skeleton=self.skeleton),)
        self.regression = tower(in_channels, 2 * count, **layers)
        self.heatmap = tower(in_channels, count, **layers) if heatmap else None
        self.offset: nn.Sequential | None = None
        if heatmap and offset != "none":
            self.offset = tower(in_channels, 2 * count if offset == "each" else 2, **layers)
        for part, bias in ((self.regression, 0.0), (self.heatmap, -math.log((1 - prior) / prior)), (self.offset, 0.0)):
            if part is not None:
                last: Any = part[-1]
                nn.init.constant_(last.bias, bias)
                if part is self.heatmap:
                    nn.init.normal_(last.weight, std=0.01)
        self.maps = ("regression", *(["heatmap"] if heatmap else []), *(["offset"] if self.offset is not None else []))
        self.stride, self.search = stride, search
        self.radius, self.min_overlap, self.alpha = radius, min_overlap, alpha
        self.offset_radius, self.logit_clamp = offset_radius, logit_clamp
        self.weights = {"regression": regression_weight, "heatmap": heatmap_weight, "offset": offset_weight}

    def known_rows(self, other: Head) -> dict[str, list[int]]:
        assert isinstance(other, KeypointHead)
        if other.skeleton.names == self.skeleton.names:
            return {}
        places = {name: place for place, name in enumerate(other.skeleton.names)}
        ours = [places.get(name, -1) for name in self.skeleton.names]
        pairs = [place if place < 0 else 2 * place + axis for place in ours for axis in (0, 1)]
        rows = {"regression": pairs, "heatmap": ours, "offset": pairs}
        last = {name: len(getattr(self, name)) - 1 for name in self.maps}
        return {
            f"{name}.{place}.{part}": rows[name]
            for name, place in last.items()
            if getattr(self, name)[-1].out_channels == len(rows[name])  # not of an offset that all share
            for part in ("weight", "bias")
        }

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Compute the maps of features N×in_channels×H×W: name → N×C×H×W."""
        return {name: getattr(self, name)(features) for name in self.maps}

    # ------------------------------------------------------------------------------------------------ training

    def loss(self, output: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        truth = targets.object_data("keypoints").float()  # N×K×3
        places = truth[..., :2] / self.stride
        limit = places.new_tensor([targets.grid[1], targets.grid[0]])
        labelled = (truth[..., 2] > 0) & (places >= 0).all(-1) & (places < limit).all(-1)  # N×K
        terms = {"regression": self._regression_loss(output["regression"], targets, places, labelled)}
        if self.heatmap is not None:
            objects, parts = labelled.nonzero().unbind(1)
            found = places[objects, parts]
            terms["heatmap"] = self._heatmap_loss(output["heatmap"], targets, objects, parts, found, truth)
            if self.offset is not None:
                terms["offset"] = self._offset_loss(output["offset"], targets, objects, parts, found)
        return {f"keypoint_{name}": self.weights[name] * value for name, value in terms.items()}

    def _regression_loss(self, output: Tensor, targets: Targets, places: Tensor, labelled: Tensor) -> Tensor:
        """L1 at the centres' cells, the mean over coordinates of labelled keypoints."""
        raw = output.permute(0, 2, 3, 1).flatten(0, 2)[targets.center_index].unflatten(1, (self.count, 2))  # type: ignore[no-untyped-call]
        return l1_loss(raw[labelled], (places - targets.center_cells.unsqueeze(1))[labelled])

    def _heatmap_loss(
        self, output: Tensor, targets: Targets, objects: Tensor, parts: Tensor, places: Tensor, truth: Tensor
    ) -> Tensor:
        radii = targets.radii(self.radius, min_overlap=self.min_overlap, alpha=self.alpha)[objects]
        blobs = targets.blobs(targets.object_images[objects], parts, places.long(), radii, self.count)
        unknown = ~(truth[..., 2] > 0).any(1)
        background = ~targets.covered(targets.object_boxes[unknown], targets.object_images[unknown])
        if targets.background is not None:
            background = background & targets.background.all(1)
        return focal_loss(output, blobs, background=background.unsqueeze(1), clamp=self.logit_clamp)

    def _offset_loss(self, output: Tensor, targets: Targets, objects: Tensor, parts: Tensor, places: Tensor) -> Tensor:
        """L1 at the keypoints' cells, and those around them, the mean over coordinates."""
        cells = places.long()
        rows, x, y = targets.windows(cells - self.offset_radius, cells + self.offset_radius)
        here = torch.stack([x, y], dim=-1)
        near = (here - cells[rows]).square().sum(1) <= self.offset_radius**2
        rows, here = rows[near], here[near]
        height, width = targets.grid
        index = (targets.object_images[objects[rows]] * height + here[:, 1]) * width + here[:, 0]
        raw = output.permute(0, 2, 3, 1).flatten(0, 2)[index]
        if raw.shape[1] > 2:
            raw = raw.unflatten(1, (self.count, 2))[torch.arange(len(raw), device=raw.device), parts[rows]]  # type: ignore[no-untyped-call]
        return l1_loss(raw, places[rows] - here)

    # ------------------------------------------------------------------------------------------------ decoding

    def with_mirror(self, output: dict[str, Tensor], mirrored: dict[str, Tensor]) -> dict[str, Tensor]:
        order = list(self.skeleton.flip_order)
        sign = output["regression"].new_tensor([-1.0, 1.0]).view(2, 1, 1)
        turned = (mirrored["regression"].unflatten(1, (self.count, 2))[:, order] * sign).flatten(1, 2)  # type: ignore[no-untyped-call]
        both = output | {"regression": (output["regression"] + turned) / 2}
        if self.heatmap is not None:
            probabilities = output["heatmap"].float().sigmoid() + mirrored["heatmap"].float().sigmoid()[:, order]
            both["heatmap"] = torch.logit(probabilities / 2, eps=1e-7)
        return both

    def decode(self, output: dict[str, Tensor], peaks: Peaks) -> dict[str, Tensor]:
        raw = gather_at(output["regression"], peaks.cells).float()
        places: Tensor = raw.unflatten(2, (self.count, 2))  # type: ignore[no-untyped-call]
        places = places + torch.stack([peaks.x, peaks.y], dim=-1).unsqueeze(2)  # B×N×K×2
        if self.heatmap is None:
            scores = peaks.scores.unsqueeze(2).expand(-1, -1, self.count)
            return {"keypoints": torch.cat([places * self.stride, scores.unsqueeze(3)], dim=-1)}
        if peaks.boxes is None:
            raise ValueError("KeypointHead looks for keypoints in boxes, but the model has no head that gives boxes")
        found = self._found(output, places, peaks.boxes / self.stride)
        detections = {"keypoints": torch.cat([found[..., :2] * self.stride, found[..., 2:]], dim=-1)}
        if self.search in ("gaussian", "movenet"):
            scores = found[..., 2]
            sure = (scores > SURE).float()
            detections["scores"] = peaks.scores * (scores * sure).sum(2) / sure.sum(2).clamp(min=1)
        return detections

    def _found(self, output: dict[str, Tensor], places: Tensor, boxes: Tensor) -> Tensor:
        """Look for keypoints near their regressed places B×N×K×2, in boxes B×N×4: B×N×K×3, all in cells."""
        heatmap, offset = output["heatmap"].float(), output.get("offset")
        if self.search == "original":
            return nearest_peaks(heatmap, offset, places, boxes, num_candidates=places.shape[1])
        xs, ys = (torch.arange(side, device=heatmap.device) for side in (heatmap.shape[3], heatmap.shape[2]))
        limit = torch.stack([xs.amax(0), ys.amax(0)]).float() + 1
        first, second = (corner.clamp(min=0).minimum(limit) for corner in (boxes[..., :2], boxes[..., 2:]))
        margin = MARGIN[self.search] * (second - first)
        boxes = torch.cat([first - margin, second + margin], dim=-1)
        if self.search == "tensorflow":
            return nearest_peaks(heatmap, offset, places, boxes, num_candidates=100)
        if self.search == "movenet":
            spread = (0.30005 * limit.amin(0)).expand(boxes.shape[:2])  # their .3 as a float16
            return best_cells(heatmap, offset, places, boxes, spread, blocks=8, as_movenet=True)
        return best_cells(heatmap, offset, places, boxes, 2 * (0.15 * (second - first).amax(-1)).square())
