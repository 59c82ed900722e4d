"""The Kalman filter against the numbers of DeepSORT's and FairMOT's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from centernet.tracking.kalman import CHI2_95, KalmanFilter

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, Array]:
    with np.load(shared / "data/oracles/tracking/kalman.npz") as file:
        return dict(file)


def packed(mean: Array, covariance: Array) -> tuple[Array, Array]:
    """States N×8 and N×8×8 as four blocks of 2×2; what lies outside of them is zero."""
    first, second = np.arange(4), np.arange(4, 8)
    blocks = np.stack(
        [covariance[:, first, first], covariance[:, first, second], covariance[:, second, second]], axis=1
    )
    return mean.reshape(-1, 2, 4), blocks


def full(covariance: Array) -> Array:
    first, second = np.arange(4), np.arange(4, 8)
    matrix = np.zeros((len(covariance), 8, 8))
    matrix[:, first, first], matrix[:, second, second] = covariance[:, 0], covariance[:, 2]
    matrix[:, first, second] = matrix[:, second, first] = covariance[:, 1]
    return matrix


def close(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("sequence", range(5))
def test_deepsort_s_numbers(oracle: dict[str, Array], sequence: int) -> None:
    of = {name.split("_", 1)[1]: values for name, values in oracle.items() if name.startswith(f"s{sequence}_")}
    kalman = KalmanFilter("xyah")
    mean, covariance = kalman.initiate(of["measurements"][:1])
    close(mean.reshape(-1, 8)[0], of["init_mean"])
    close(full(covariance)[0], of["init_cov"])
    for t in range(1, len(of["measurements"])):
        row = t - 1
        mean, covariance = kalman.predict(mean, covariance)
        close(mean.reshape(-1, 8)[0], of["pred_mean"][row])
        close(full(covariance)[0], of["pred_cov"][row])
        expected, variance = kalman.project(mean, covariance)
        close(expected[0], of["proj_mean"][row])
        close(np.diag(variance[0]), of["proj_cov"][row])
        candidates = of["candidates"][row]
        close(kalman.gating_distance(mean, covariance, candidates)[0], of["gate_maha"][row])
        if of["observed"][t]:
            mean, covariance = kalman.update(mean, covariance, of["measurements"][t : t + 1])
        close(mean.reshape(-1, 8)[0], of["upd_mean"][row])
        close(full(covariance)[0], of["upd_cov"][row])


def test_many_tracks_at_once(oracle: dict[str, Array]) -> None:
    mean, covariance = KalmanFilter().predict(*packed(oracle["multi_in_mean"], oracle["multi_in_cov"]))
    close(mean.reshape(-1, 8), oracle["multi_out_mean"])
    close(full(covariance), oracle["multi_out_cov"])


def test_the_chi_square_quantile(oracle: dict[str, Array]) -> None:
    assert pytest.approx(oracle["chi2inv95"][3], abs=1e-4) == CHI2_95


@pytest.mark.parametrize("form", ["xyah", "xywh"])
def test_equals_the_8x8_filter_of_the_textbook(form: str) -> None:
    """One step with full matrices, for the form that the reference numbers don't have."""
    random = np.random.default_rng(3)
    kalman = KalmanFilter(form)  # type: ignore[arg-type]
    boxes = np.array([[10.0, 20, 60, 140], [300, 50, 420, 110]])
    moved = boxes + random.normal(0, 3, boxes.shape)
    motion, observation = np.eye(8) + np.eye(8, k=4), np.eye(4, 8)
    mean, covariance = kalman.initiate(kalman.measurements(boxes))
    flat, matrix = mean.reshape(-1, 8), full(covariance)
    mean, covariance = kalman.predict(mean, covariance)
    expected, variance = kalman.project(mean, covariance)
    z = kalman.measurements(moved)
    updated, spread = kalman.update(mean, covariance, z)
    for i in range(2):
        _, _, w, h = kalman.measurements(boxes)[i]
        third = {"xyah": (1e-2, 1e-5, 1e-1), "xywh": (w / 20, w / 160, w / 20)}[form]
        first = h if form == "xyah" else w
        q = np.diag(np.square([first / 20, h / 20, third[0], h / 20, first / 160, h / 160, third[1], h / 160]))
        predicted, p = motion @ flat[i], motion @ matrix[i] @ motion.T + q
        h = predicted[3]
        first, third_measured = (h, 1e-1) if form == "xyah" else (predicted[2], predicted[2] / 20)
        r = np.diag(np.square([first / 20, h / 20, third_measured, h / 20]))
        s = observation @ p @ observation.T + r
        close(np.diag(variance[i]), s)
        gain = p @ observation.T @ np.linalg.inv(s)
        close(updated[i].ravel(), predicted + gain @ (z[i] - observation @ predicted))
        close(full(spread)[i], p - gain @ s @ gain.T)
    close(expected, mean[:, 0])


@pytest.mark.parametrize("form", ["xyah", "xywh"])
def test_boxes_and_measurements_are_inverse(form: str) -> None:
    kalman = KalmanFilter(form)  # type: ignore[arg-type]
    boxes = np.array([[10.0, 20, 60, 140], [-5, -5, 5, 0]])
    mean, _ = kalman.initiate(kalman.measurements(boxes))
    close(kalman.boxes(mean), boxes)


@pytest.mark.parametrize("form", ["xyah", "xywh"])
def test_boxes_without_size_stay_finite(form: str) -> None:
    kalman = KalmanFilter(form)  # type: ignore[arg-type]
    boxes = np.array([[10.0, 20, 10, 20], [10, 20, 40, 20], [10, 20, 10, 90]])
    state = kalman.initiate(kalman.measurements(boxes))
    for _ in range(5):
        state = kalman.update(*kalman.predict(*state), kalman.measurements(boxes))
    assert np.isfinite(state[0]).all() and np.isfinite(state[1]).all()
    close(state[0][:, 0, [0, 1, 3]], kalman.measurements(boxes)[:, [0, 1, 3]])  # an aspect ratio may say anything here


@pytest.mark.parametrize("form", ["xyah", "xywh"])
def test_a_moved_camera_moves_boxes_as_their_corners(form: str) -> None:
    kalman = KalmanFilter(form)  # type: ignore[arg-type]
    boxes = np.array([[10.0, 20, 60, 140], [300, 50, 420, 110]])
    state = kalman.initiate(kalman.measurements(boxes))
    state = kalman.update(*kalman.predict(*state), kalman.measurements(boxes + 4))
    zoomed = kalman.warp(*state, np.array([[1.5, 0, -7], [0, 1.5, 3]]))
    close(kalman.boxes(zoomed[0]), kalman.boxes(state[0]) * 1.5 + np.array([-7, 3, -7, 3]))
    close(zoomed[0][:, 1, :2], state[0][:, 1, :2] * 1.5)
    later, same = kalman.predict(*zoomed), kalman.warp(*kalman.predict(*state), np.array([[1.5, 0, -7], [0, 1.5, 3]]))
    close(later[0], same[0])  # whether the camera or time goes first
    close(later[1], same[1])
