"""Boxes in space: their geometry, KITTI's labels with it, and the way from labels to a network's map and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from centernet.annotations.kitti import calibration_file, label_text, read_calibration
from centernet.annotations.problems import DataError, DataWarning
from centernet.birds_eye import birds_eye
from centernet.boxes import transform
from centernet.boxes3d import alpha_of, corners, in_space, locate, project, rotation_of, unproject, wrapped
from centernet.data import KITTI, Augment, KITTITracking, Resize, Sample
from centernet.data.batch import collate
from centernet.detections import Detections
from centernet.drawing import draw
from centernet.images import Preprocessing
from centernet.network.heads import Box3DHead, HeatmapHead
from centernet.network.heads.box3d import Truth
from centernet.ops import Targets

P2 = np.array([[721.5377, 0, 609.5593, 44.85728], [0, 721.5377, 172.854, 0.2163791], [0, 0, 1, 0.002745884]])
INPUT = Preprocessing(size=(384, 1280))


def test_project_and_unproject() -> None:
    points = np.random.default_rng(0).uniform([-20, -2, 1], [20, 3, 80], (100, 3))
    pixels = project(points, P2)
    homogeneous = np.c_[points, np.ones(100)] @ P2.T
    np.testing.assert_allclose(pixels, homogeneous[:, :2] / homogeneous[:, 2:])
    np.testing.assert_allclose(unproject(pixels, homogeneous[:, 2], P2), points, atol=1e-9)


def test_corners() -> None:
    """By the devkit's readme: rotation_y is 0 where the object faces along x, and grows from x towards -z."""
    ahead = corners([0, 1, 10], [1.5, 2, 4], [0.0])[0]
    np.testing.assert_allclose(ahead[[0, 1, 4, 5]].mean(axis=0), [2, 0.25, 10])  # the front, to the right
    np.testing.assert_allclose(ahead[:4, 1], 1)
    np.testing.assert_allclose(ahead[4:, 1], -0.5)
    np.testing.assert_allclose(ahead[0, 2], 9)  # its own right side is nearer to the camera
    turned = corners([0, 1, 10], [1.5, 2, 4], [math.pi / 2])[0]
    np.testing.assert_allclose(turned[[0, 1, 4, 5]].mean(axis=0), [0, 0.25, 8], atol=1e-12)  # it faces the camera
    pair = corners([[0, 1, 10], [3, 2, 5]], np.ones((2, 3)), [0.3, -2])
    np.testing.assert_allclose(pair.mean(axis=1), [[0, 0.5, 10], [3, 1.5, 5]])


def test_alpha_is_the_turn_against_the_ray() -> None:
    turns, x = np.linspace(-3.1, 3.1, 7), np.linspace(0, 1242, 7)
    alpha = alpha_of(turns, x, P2)
    np.testing.assert_allclose(rotation_of(alpha, x, P2), turns)
    assert (np.abs(alpha) <= math.pi).all()
    np.testing.assert_allclose(alpha_of(0.5, P2[0, 2] + P2[0, 0], P2), 0.5 - math.pi / 4)  # 45° to the right


def test_calibration_files(tmp_path: Path) -> None:
    numbers = " ".join(f"{value:.12e}" for value in P2.ravel())
    (tmp_path / "0001.txt").write_text(f"P0: 1 2 3\nP2: {numbers}\nR0_rect: 1 0 0 0 1 0 0 0 1\n")
    np.testing.assert_allclose(read_calibration(tmp_path / "0001.txt"), P2)
    assert calibration_file(tmp_path, Path("image_02/0001/000010.png")) == tmp_path / "0001.txt"
    assert calibration_file(tmp_path, Path("image_2/0001.png")) == tmp_path / "0001.txt"
    assert calibration_file(tmp_path / "0001.txt", Path("any.png")) == tmp_path / "0001.txt"
    with pytest.raises(DataError, match=r"no calibration file 7.txt or x.txt"):
        calibration_file(tmp_path, Path("x/7.png"))
    for text, message in (("P0: 1 2 3", "no line P2"), ("P2: 1 2 3", "expected twelve"), ("P2: 1 x", "line 1, P2")):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            read_calibration(tmp_path / "bad.txt")


def found(count: int = 3) -> Detections:
    """Detections with the columns of a head for boxes in space, as they are in KITTI's images."""
    rng = np.random.default_rng(0)
    centers = rng.uniform([200, 150], [1000, 250], (count, 2))
    data = {
        "depth": rng.uniform(5, 40, count),
        "dimensions": rng.uniform(1, 4, (count, 3)),
        "alpha": rng.uniform(-3, 3, count),
        "projected_center": centers,
    }
    boxes = np.concatenate([centers - 20, centers + 30], axis=1)
    return Detections(boxes, np.zeros(count), np.linspace(0.9, 0.5, count), class_names=["Car"], data=data)


def test_detections_in_space_are_written_read_and_drawn(tmp_path: Path) -> None:
    detections = in_space(found(), P2)
    for folder in ("label_2", "image_2", "calib"):
        (tmp_path / folder).mkdir()
    image = np.full((375, 1242, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "image_2/000003.png"), image)
    text = label_text(detections).splitlines()
    assert [len(row.split()) for row in text] == [16] * 3
    (tmp_path / "label_2/000003.txt").write_text("\n".join(text).replace("-1 -1", "0 0"))
    (tmp_path / "calib/000003.txt").write_text("P2: " + " ".join(map(str, P2.ravel())))
    annotation = KITTI(tmp_path, boxes3d=True).annotation(0)
    for name, own in detections.data.items():
        if name in annotation.data:
            np.testing.assert_allclose(annotation.data[name], own, atol=1e-3)
    np.testing.assert_allclose(annotation.data["ruler"][:, 0], detections.data["projected_center"], atol=0.05)
    unknown = label_text(Detections([[1, 2, 3, 4]], [0], [0.5], class_names=["Car"]))
    assert unknown.split()[3] == "-10.0000" and unknown.split()[11] == "-1000.0000"
    (tmp_path / "label_2/000003.txt").write_text(unknown.replace("-1 -1", "0 0"))
    assert not any(values.any() for values in KITTI(tmp_path, boxes3d=True).annotation(0).data.values())

    none = in_space(found(0), P2)
    assert label_text(none) == "" and len(none) == 0 and birds_eye(none).shape == (640, 640, 3)
    flat = draw(image, found())
    assert (draw(image, detections) != flat).any()
    assert birds_eye(detections).shape == (640, 640, 3)
    with pytest.raises(ValueError, match="no column location"):
        birds_eye(found())
    with pytest.raises(ValueError, match="no column depth"):
        in_space(Detections([[1, 2, 3, 4]], [0], [0.5]), P2)
    behind = in_space(Detections([[0, 0, 9, 9]], [0], [1.0], data={
        "depth": [0.5], "dimensions": [[1.5, 1.6, 4.0]], "alpha": [1.5],
    }), P2)  # fmt: skip
    assert np.isnan(behind.data["corners"]).any() and draw(image, behind).shape == image.shape


@pytest.fixture(scope="module")
def kitti(shared: Path) -> KITTITracking:
    with pytest.warns(DataWarning, match="have no image"):  # six frames are there
        return KITTITracking(shared / "data/kitti_tracking", ["0001", "0016"], boxes3d=True)


def encoded(samples: list[Sample], **options: Any) -> tuple[Targets, Truth, Box3DHead]:
    batch, head = collate(samples, pad_value=0), Box3DHead(8, 4, 3, **options)
    targets = Targets(
        batch.boxes, batch.labels, batch.ignore, batch.counts, grid=(96, 320), stride=4, num_classes=3, data=batch.data
    )
    return targets, head.truth(targets), head


def test_labels_become_targets_and_boxes_again(kitti: KITTITracking) -> None:
    """Through the maps: heatmap and peaks, the head's map and its decoder, the warp and the camera."""
    errors = []
    for index in range(len(kitti)):
        sample = kitti[index]
        targets, truth, head = encoded([Resize()(sample, np.random.default_rng(0), INPUT)])
        values = torch.zeros(len(truth.cells), 14)
        values[:, 0] = torch.logit(1 / (truth.depth.double() + 1) - 1e-6).float()
        for place, of_bin in ((1, 0), (5, 1)):
            values[:, place + 1] = torch.where(truth.bins[:, of_bin], truth.residuals[:, of_bin].cos(), -1)
            values[:, place + 2] = truth.residuals[:, of_bin].sin()
            values[:, place + 3] = truth.residuals[:, of_bin].cos()
        values[:, 9:12], values[:, 12:] = truth.dimensions, truth.offsets
        output = torch.zeros(1, 14, 96 * 320)
        output[0, :, truth.cells] = values.T
        heatmap = torch.logit(targets.heatmap(targets.radii("ellipse")), eps=1e-6)
        peaks = HeatmapHead(8, 4, 3).find_peaks(heatmap, len(truth.cells))
        decoded = {name: x[0].numpy() for name, x in head.decode(output.reshape(1, 14, 96, 320), peaks).items()}
        matrix = np.vstack([INPUT.matrix(sample.size_hw), [0, 0, 1]])
        ends = np.tile(decoded["projected_center"], 2)
        centers = transform(ends, np.linalg.inv(matrix)[:2])[:, :2]
        annotation = kitti.annotation(index)
        projection = annotation.data["projection"][~annotation.ignore][0]
        boxes = locate(centers, decoded["depth"], decoded["dimensions"], decoded["alpha"], projection)
        for row in np.flatnonzero(~annotation.ignore & (annotation.data["location"][:, 2] < 40)):
            apart = np.linalg.norm(boxes.location - annotation.data["location"][row], axis=1)
            best = int(apart.argmin())
            turn = wrapped(boxes.rotation_y[best] - annotation.data["rotation_y"][row])
            size = np.abs(boxes.dimensions[best] - annotation.data["dimensions"][row]).max()
            errors.append([apart[best], size, abs(turn)])
    assert len(errors) >= 40
    assert (np.max(errors, axis=0) < [0.1, 1e-3, 1e-3]).all(), f"metres, metres, radians: {np.max(errors, axis=0)}"


def test_mirror_and_zoom_reach_the_targets(kitti: KITTITracking) -> None:
    sample, rng = kitti[0], np.random.default_rng(0)
    still = {"translate": 0.0, "min_visibility": 0.0, "min_size": 0.0}

    def truth(scale: float, flip: float, **options: Any) -> Truth:
        changed = Augment(scale=(scale, scale), flip=flip, **still)(sample, rng, INPUT)
        return encoded([changed], **options)[1]

    plain, mirrored = truth(1, 0), truth(1, 1)
    sums = (plain.cells % 320 + plain.offsets[:, 0]) + (mirrored.cells % 320 + mirrored.offsets[:, 0])
    np.testing.assert_allclose(sums, 320, atol=0.3)
    alpha, other = (wrapped(x.residuals[:, 0].numpy() - math.pi / 2) for x in (plain, mirrored))
    np.testing.assert_allclose(wrapped(alpha + other - math.pi), 0, atol=1e-3)
    np.testing.assert_array_equal(plain.depth, mirrored.depth)

    focal = kitti.annotation(0).data["projection"][~sample.ignore][0, 0, 0] * INPUT.matrix(sample.size_hw)[0, 0]
    whole = truth(1, 0.5, focal_length=float(focal))
    np.testing.assert_allclose(whole.depth, plain.depth, rtol=0.01)
    zoomed = truth(2, 0.5, focal_length=float(focal))  # all is half as large, as if it were twice as far
    np.testing.assert_allclose(zoomed.depth, 2 * plain.depth, rtol=0.01)


def test_the_mirror_image_s_map_is_of_use() -> None:
    """A map and that of the mirror image agree where both are right: the average says the same."""
    head = Box3DHead(8, 1, 1)
    alpha = torch.tensor([-2.5, -1.0, 0.3, 1.2, 3.0])

    def values(turns: torch.Tensor) -> torch.Tensor:
        raw = torch.zeros(1, 14, 1, len(turns))
        for place, center in ((1, -math.pi / 2), (5, math.pi / 2)):
            rest = torch.remainder(turns - center + math.pi, 2 * math.pi) - math.pi
            raw[0, place + 1, 0], raw[0, place + 2, 0], raw[0, place + 3, 0] = 2 - rest.abs(), rest.sin(), rest.cos()
        return raw

    both = head.with_mirror(values(alpha), values(math.pi - alpha))
    torch.testing.assert_close(both, values(alpha), atol=1e-5, rtol=0)
