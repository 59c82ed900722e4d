"""The embedding head and FairMOT's joint loss against FairMOT's own values, and identities from data to checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet import CenterNet, build_centernet
from centernet.data import Annotation, DataError, DataModule, DetectionDataset, DetectionForTracking, Synthetic
from centernet.network.heads import EmbeddingHead
from centernet.network.weighting import UncertaintyWeighting
from centernet.ops import Peaks, Targets, find_peaks, focal_loss, gather_at, l1_loss

EMBEDDING: dict[str, Any] = {"class_path": "EmbeddingHead", "init_args": {"width": 16, "dim": 12}}
WEIGHTING: dict[str, Any] = {
    "class_path": "UncertaintyWeighting",
    "init_args": {
        "tasks": {"detection": ["heatmap", "box"], "identity": ["embedding"]},
        "start": {"detection": -1.85, "identity": -1.05},
    },
}


@pytest.fixture
def tracking_config(config: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    changed["model"]["heads"]["embedding"] = EMBEDDING
    changed["model"]["loss_weighting"] = WEIGHTING
    return changed


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Any:
    return np.load(shared / "data/oracles/upstream/losses.npz")


def close(value: Tensor | None, expected: Any) -> None:
    assert value is not None
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def leaf(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array)).requires_grad_()


def fairmots_head(oracle: Any, loss: Any, weight: float = 1.0) -> EmbeddingHead:
    head = EmbeddingHead(8, 4, 1, dim=32, loss=loss, weight=weight).train()
    head.set_identities(37)
    assert head.classifier is not None
    head.classifier.load_state_dict(
        {name: torch.from_numpy(oracle[f"fairmot.classifier_{name}"]) for name in ("weight", "bias")}
    )
    return head


def targets_at(cells: Tensor, ids: Tensor, mask: Tensor) -> Targets:
    """Objects whose centres are in these cells of a 24×24 map."""
    x, y = 4 * (cells % 24) + 2.0, 4 * (cells // 24) + 2.0
    boxes = torch.stack([x - 3, y - 3, x + 3, y + 3], dim=-1)
    labels = torch.where(mask, 0, -1)
    counts = torch.full((len(cells),), cells.shape[1])
    return Targets(boxes, labels, ~mask, counts, ids=ids, grid=(24, 24), stride=4, num_classes=1)


@pytest.mark.parametrize(
    ("name", "loss", "weight"),
    [
        ("fairmot_ce_uncertainty", "cross_entropy", 1.0),
        ("fairmot_ce_fix", "cross_entropy", 0.1),
        ("fairmot_focal_uncertainty", "focal", 1.0),
    ],
)
def test_joint_loss_of_fairmot(oracle: Any, name: str, loss: Any, weight: float) -> None:
    mask, ind = torch.from_numpy(oracle["target.reg_mask"]).bool(), torch.from_numpy(oracle["target.ind"])
    hm, wh, reg, embedding = (
        leaf(oracle[key]) for key in ("fairmot.input.hm", "fairmot.input.wh", "input.reg", "fairmot.input.id")
    )
    ids = torch.from_numpy(oracle["fairmot.target.ids"]).clone()
    if loss == "focal":
        ids[0, 1] = 5
    head = fairmots_head(oracle, loss, weight)
    assert head.scale == pytest.approx(float(oracle["fairmot.emb_scale"]))
    terms = {
        "heatmap": {"heatmap": focal_loss(hm, torch.from_numpy(oracle["fairmot.target.hm"]), clamp=1e-4)},
        "box": {
            "size": 0.1 * l1_loss(gather_at(wh, ind)[mask], torch.from_numpy(oracle["fairmot.target.wh"])[mask]),
            "offset": l1_loss(gather_at(reg, ind)[mask], torch.from_numpy(oracle["target.reg"])[mask]),
        },
        "embedding": head.loss(embedding, targets_at(ind, ids, mask)),
    }
    close(terms["embedding"]["identity"], weight * oracle[f"{name}.id_loss"])
    weighting = UncertaintyWeighting(**WEIGHTING["init_args"])
    if name.endswith("fix"):
        total = torch.stack([value for values in terms.values() for value in values.values()]).sum()
    else:
        total = torch.stack(list(weighting(terms).values())).sum()
    total.backward()
    close(total, oracle[f"{name}.loss"])
    close(hm.grad, oracle[f"{name}.grad_hm"])
    close(embedding.grad, oracle[f"{name}.grad_id"])
    assert head.classifier is not None
    close(head.classifier.weight.grad, oracle[f"{name}.grad_classifier_weight"])
    close(head.classifier.bias.grad, oracle[f"{name}.grad_classifier_bias"])
    if not name.endswith("fix"):
        for task, key in (("detection", "s_det"), ("identity", "s_id")):
            close(weighting.log_variances[task].grad, oracle[f"{name}.grad_{key}"])


def test_decode_of_fairmot(shared: Path) -> None:
    oracle = np.load(shared / "data/oracles/upstream/decode.npz")
    embedding = torch.from_numpy(oracle["fairmot.input.id"])
    peaks = find_peaks(torch.from_numpy(oracle["pose.input.hm_logits"]), 100)
    np.testing.assert_array_equal(peaks.cells, oracle["fairmot.mot_decode.K100_inds"])
    head = EmbeddingHead(8, 4, 1, dim=16)
    close(head.decode(embedding, peaks)["embeddings"], oracle["fairmot.mot_decode.K100_id"])


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "triplet", "supervised_contrastive"])
def test_objects_without_an_identity_change_nothing(loss: Any) -> None:
    head = EmbeddingHead(8, 4, 1, dim=6, loss=loss).train()
    head.set_identities(9)
    output, mask = torch.randn(2, 6, 24, 24), torch.ones(2, 3, dtype=torch.bool)
    cells = torch.tensor([[5, 60, 200], [7, 99, 300]])
    with_unknown = head.loss(output, targets_at(cells, torch.tensor([[1, -1, 2], [1, 3, 2]]), mask))["identity"]
    mask[0, 1] = False
    without = head.loss(output, targets_at(cells, torch.tensor([[1, 8, 2], [1, 3, 2]]), mask))["identity"]
    torch.testing.assert_close(with_unknown, without)
    assert with_unknown > 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_identities_are_finite(count: int) -> None:
    head = EmbeddingHead(8, 4, 1, dim=6).train()
    head.set_identities(count)
    targets = targets_at(torch.tensor([[5]]), torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool))
    assert torch.isfinite(head.loss(torch.randn(1, 6, 24, 24), targets)["identity"])
    assert head.scale > 0


def test_a_vector_of_zeros_is_finite() -> None:
    head = EmbeddingHead(8, 4, 1, dim=6)
    zeros = torch.zeros(1, 6, 4, 4)
    peaks = Peaks(
        torch.ones(1, 1), torch.zeros(1, 1).long(), torch.zeros(1, 1).long(), torch.zeros(1, 1), torch.zeros(1, 1)
    )
    assert torch.isfinite(head.decode(zeros, peaks)["embeddings"]).all()


# ---------------------------------------------------------------------------------------------- identities of the data


class Lying(DetectionDataset):
    """Says that it has two identities; its third picture has identity 6."""

    def __init__(self) -> None:
        super().__init__(["a"])
        self.num_identities = 2

    def __len__(self) -> int:
        return 3

    def annotation(self, index: int) -> Annotation:
        return Annotation(
            path=Path(f"picture_{index}.png"),
            image_id=index,
            height=32,
            width=32,
            boxes=np.array([[2, 2, 20, 20]], dtype=np.float32),
            labels=np.zeros(1, dtype=np.int64),
            ids=np.array([3 * index], dtype=np.int64) if index != 1 else np.array([1], dtype=np.int64),
            ignore=np.zeros(1, dtype=np.bool_),
            areas=np.array([324], dtype=np.float32),
        )


def test_the_classifier_has_the_identities_of_the_data() -> None:
    data = DataModule(train=DetectionForTracking(Synthetic(4, seed=0)))
    objects = sum(int((~Synthetic(4, seed=0).annotation(i).ignore).sum()) for i in range(4))
    head = EmbeddingHead(8, 4, 6, dim=6)
    head.prepare(data)
    head.prepare(data)
    assert head.num_identities == objects
    assert EmbeddingHead(8, 4, 6, dim=6, loss="triplet").num_identities == 0


def test_an_identity_beyond_the_classifier_is_named_with_its_file() -> None:
    with pytest.raises(DataError, match=r"picture_2\.png: identity 6, but the classifier knows 2"):
        EmbeddingHead(8, 4, 1).prepare(DataModule(train=Lying()))
    head = EmbeddingHead(8, 4, 6)
    head.set_identities(3)
    with pytest.raises(DataError, match=r"scene_0_000003\.png: identity \d+, but the classifier knows 3"):
        head.prepare(DataModule(train=DetectionForTracking(Synthetic(4, seed=0))))


def test_data_without_identities_are_refused() -> None:
    with pytest.raises(ValueError, match="DetectionForTracking"):
        EmbeddingHead(8, 4, 6).prepare(DataModule(train=Synthetic(4, seed=0)))


def test_without_data_the_way_out_is_named() -> None:
    targets = targets_at(torch.tensor([[5]]), torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="set_identities"):
        EmbeddingHead(8, 4, 1, dim=6).train().loss(torch.zeros(1, 6, 24, 24), targets)


# ---------------------------------------------------------------------------------------------- in a model


def test_detections_gain_embeddings(tracking_config: dict[str, Any]) -> None:
    model = build_centernet(tracking_config).eval()
    with torch.inference_mode():
        detections = model.decode_detections(model(torch.randn(2, 3, 96, 128)), 10)
    assert detections["embeddings"].shape == (2, 10, 12)
    lengths = detections["embeddings"].norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    found = model.to_detections(detections, [(60, 80), (96, 128)])
    assert found[1].embeddings is not None and found[1].embeddings.shape == (10, 12)


def test_suppression_keeps_embeddings_with_their_boxes(tracking_config: dict[str, Any]) -> None:
    plain = build_centernet(tracking_config).eval()
    suppressing = build_centernet(tracking_config, overrides=["model.nms_iou=0.3"]).eval()
    suppressing.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        encoded = plain(torch.randn(1, 3, 96, 128))
        before, after = (model.decode_detections(encoded, 30) for model in (plain, suppressing))
    for box, embedding in zip(after["bboxes"][0], after["embeddings"][0], strict=True):
        row = (before["bboxes"][0] == box).all(-1).nonzero()[0, 0]
        torch.testing.assert_close(before["embeddings"][0, row], embedding)


def test_the_classifier_is_in_checkpoints_and_not_in_what_is_passed_on(
    tracking_config: dict[str, Any], tmp_path: Path
) -> None:
    model = build_centernet(tracking_config)
    model.heads["embedding"].prepare(SimpleNamespace(num_identities=7, check_identities=lambda known: None))
    torch.save({"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}, tmp_path / "model.ckpt")
    loaded = CenterNet.load_from_checkpoint(tmp_path / "model.ckpt")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert loaded.heads["embedding"].num_identities == 7
    model.save_pretrained(tmp_path / "mine")
    small = CenterNet.from_pretrained(tmp_path / "mine")
    assert small.heads["embedding"].num_identities == 0
    image = torch.randn(1, 3, 96, 128)
    with torch.inference_mode():
        torch.testing.assert_close(small(image)["embedding"], loaded(image)["embedding"], atol=2e-2, rtol=2e-2)


def test_the_trackers_options_travel_with_the_model(tracking_config: dict[str, Any], tmp_path: Path) -> None:
    tracking_config["model"]["tracker"] = {"preset": "sort", "high_score": 0.01, "new_score": 0.01}
    model = build_centernet(tracking_config)
    loaded = CenterNet.from_pretrained(model.save_pretrained(tmp_path / "mine"))
    assert loaded.tracker == tracking_config["model"]["tracker"]
    frames = [np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)] * 2
    by_its_own = loaded.inference_tracking(frames, num_detections=3)
    assert [len(ids) for ids in by_its_own["track_ids"]] == [3, 3]  # an untrained network's scores are about .1
    assert [len(ids) for ids in loaded.inference_tracking(frames, preset="default")["track_ids"]] == [0, 0]


def test_outside_of_training_the_classifier_has_no_say(tracking_config: dict[str, Any]) -> None:
    """Validation data have other identities, and their numbers may be beyond the classifier."""
    model = build_centernet(tracking_config)
    model.heads["embedding"].set_identities(2)
    targets = targets_at(torch.tensor([[5]]), torch.tensor([[40]]), torch.ones(1, 1, dtype=torch.bool))
    assert model.eval().heads["embedding"].loss(torch.randn(1, 12, 24, 24), targets)["identity"] == 0
    model.heads["embedding"].classifier = None
    assert model.heads["embedding"].loss(torch.randn(1, 12, 24, 24), targets)["identity"] == 0


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"all": ["heatmap", "box"]}, "embedding"),
        ({"a": ["heatmap", "box", "embedding"], "b": ["heatmap"]}, "each in one task"),
        ({"a": ["heatmap", "box", "embedding", "pose"]}, "pose"),
        ({}, "tasks"),
    ],
)
def test_tasks_that_do_not_fit_the_heads_are_named(
    tracking_config: dict[str, Any], tasks: dict[str, list[str]], said: str
) -> None:
    tracking_config["model"]["loss_weighting"] = {"class_path": "UncertaintyWeighting", "init_args": {"tasks": tasks}}
    with pytest.raises(ValueError, match=said):
        build_centernet(tracking_config)


def test_a_start_for_no_task_is_named() -> None:
    with pytest.raises(ValueError, match="identities"):
        UncertaintyWeighting({"detection": ["heatmap"]}, {"identities": -1.0})
