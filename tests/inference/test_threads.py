"""Detectors that many threads call at once, and that other processes take over."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import CenterNet, build_centernet
from centernet.export import ExportOptions, export
from centernet.export.comparison import trial_images
from centernet.inference import Detector
from centernet.inference.torch_runtime import evaluating, torch_threads

IMAGES = [trial_images(1, (64, 96), seed=i)[0].numpy() for i in range(6)]


@pytest.fixture(scope="module")
def model() -> CenterNet:
    torch.manual_seed(0)
    head = {"init_args": {"width": 8}}
    model = build_centernet(
        {
            "model": {
                "class_names": ["cat", "dog", "cow"],
                "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 1}},
                "neck": {"class_path": "FPN", **head},
                "heads": {"heatmap": {"class_path": "HeatmapHead", **head}, "box": {"class_path": "LTRBHead", **head}},
                "preprocessing": {"size": [64, 96]},
            }
        }
    )
    with torch.no_grad():
        model.heads["heatmap"].layers[-1].weight.normal_(std=0.3)
    return model.eval()


@pytest.fixture(params=["training", ".pt", ".pt2", ".onnx", ".xml"])
def detector(request: pytest.FixtureRequest, model: CenterNet, tmp_path: Path) -> Iterator[Detector]:
    packages = {".onnx": ["onnxscript", "onnxruntime"], ".xml": ["onnxscript", "onnxruntime", "openvino"]}
    for package in packages.get(request.param, []):
        pytest.importorskip(package)
    if request.param == "training":
        yield Detector(model.train(), score_threshold=0.0, num_detections=20)
        model.eval()
    else:
        path = export(model.network, tmp_path / f"m{request.param}", ExportOptions(num_detections=20))
        yield Detector(path, score_threshold=0.0)


def equal(one: Any, other: Any) -> bool:
    return np.array_equal(one.labels, other.labels) and np.allclose(one.bboxes, other.bboxes, atol=1e-3)


def test_each_thread_gets_the_answer_to_its_own_call(detector: Detector, model: CenterNet) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    alone = [detector(image) for image in IMAGES]
    assert not equal(alone[0], alone[1])
    order = [i % len(IMAGES) for i in range(96)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: detector(IMAGES[i]), order))
    assert all(equal(answer, alone[i]) for i, answer in zip(order, answers, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_pickled_detector_opens_its_model_again(detector: Detector) -> None:
    detector.num_detections = 7
    copy = pickle.loads(pickle.dumps(detector))
    assert len(copy(IMAGES[0])) == 7 and equal(copy(IMAGES[0]), detector(IMAGES[0]))


@pytest.mark.slow
def test_a_spawned_process_takes_a_detector_over(detector: Detector) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (found,) = pool.map(detector, IMAGES[:1])
    assert equal(found, detector(IMAGES[0]))


def test_a_model_that_trains_meanwhile_keeps_its_mode_and_the_detector_its_own(model: CenterNet) -> None:
    detector, done = Detector(model, score_threshold=0.0), threading.Event()
    alone = detector(IMAGES[0])

    def train() -> None:
        while not done.wait(0.001):
            model.train(not model.training)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        assert all(equal(detector(IMAGES[0]), alone) for _ in range(20))
    finally:
        done.set()
        thread.join()
        model.eval()


def test_the_view_is_in_step_with_the_model(model: CenterNet) -> None:
    model.train()
    view = evaluating(model)
    assert not any(module.training for module in view.modules()) and all(m.training for m in model.modules())
    shared = dict(model.named_parameters())
    assert all(value is shared[name] for name, value in view.named_parameters())
    detector, before = Detector(model, score_threshold=0.0), model.heads["heatmap"].layers[-1].bias.detach().clone()
    first = detector(IMAGES[0])
    with torch.no_grad():
        model.heads["heatmap"].layers[-1].bias += 1.0
    second = detector(IMAGES[0])
    with torch.no_grad():
        model.heads["heatmap"].layers[-1].bias.copy_(before)
    model.eval()
    assert second.scores[0] > first.scores[0] + 0.01


def test_the_number_of_threads_is_the_processes_own_afterwards() -> None:
    before = torch.get_num_threads()
    inside, ahead = threading.Event(), threading.Event()

    def other() -> None:
        with torch_threads(before + 2):
            inside.set()
            ahead.wait(10)

    thread = threading.Thread(target=other)
    with torch_threads(before + 1):
        thread.start()
        inside.wait(10)
    ahead.set()
    thread.join()
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert torch.get_num_threads() == before and seen == [before]


@pytest.mark.parametrize("name", ["cat", "dog", "cow"])
def test_classes_are_chosen_before_the_limit(model: CenterNet, name: str) -> None:
    label = ["cat", "dog", "cow"].index(name)
    for image in IMAGES[:3]:
        every = Detector(model, score_threshold=0, num_detections=1000)(image).filter(labels=[label])
        some = Detector(model, score_threshold=0, num_detections=2, classes=[name])(image)
        assert len(some) == 2 and equal(some, every[:2])


def test_a_file_is_asked_for_all_rows_and_says_what_may_lack(model: CenterNet, tmp_path: Path) -> None:
    path = export(model.network, tmp_path / "m.pt", ExportOptions(num_detections=20))
    every = Detector(path, score_threshold=0)(IMAGES[0])
    name = every.names[-1]
    some = Detector(path, score_threshold=0, num_detections=1, classes=[name])(IMAGES[0])
    assert some.names == [name] and some.scores[0] == every.filter(labels=[every.labels[-1]]).scores[0]
    detector = Detector(path, score_threshold=0, num_detections=20, classes=[name])
    with pytest.warns(UserWarning, match=rf"export MODEL --classes {name}"):
        detector(IMAGES[0])
