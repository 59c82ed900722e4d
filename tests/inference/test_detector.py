"""One call, one answer: boxes in the pictures' own pixels, whatever the source, the sizes and the batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet import detections as detections_module
from centernet.detections import Detections
from centernet.images import ImageError, Preprocessing, read_image
from centernet.inference import Detector, SourceError

BOXES = [(10, 20, 60, 80), (40, 10, 150, 50), (100, 60, 140, 110), (5, 5, 155, 115), (70, 70, 90, 100)]


def scene(box: tuple[int, ...], size_hw: tuple[int, int] = (120, 160)) -> np.ndarray:
    image = np.zeros((*size_hw, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image


@pytest.mark.parametrize("rule", ["letterbox", "stretch", "keep"])
def test_boxes_are_in_the_picture_s_own_pixels(runtime: Any, rule: Any) -> None:
    runtime.preprocessing = Preprocessing((96, 128), rule)
    for size, factor in (((120, 160), 1), ((480, 320), 2), ((90, 400), 0.7)):
        box = tuple(int(v * factor) for v in (10, 20, 60, 80))
        found = Detector(runtime)(scene(box, size))
        assert isinstance(found, Detections) and len(found) == 1 and found.names == ["white"]
        np.testing.assert_allclose(found.bboxes[0], box, atol=0.6 * max(1, size[0] / 96, size[1] / 128))


def test_paths_arrays_and_lists_get_the_same_answers(runtime: Any, folder: Path) -> None:
    detector = Detector(runtime, batch_size=2)
    path = folder / "scene_1.png"
    one = detector(path)
    for other in (detector(str(path)), detector(read_image(path)), *detector([path, read_image(path), str(path)])):
        np.testing.assert_array_equal(other.bboxes, one.bboxes)
        np.testing.assert_array_equal(other.scores, one.scores)
    assert detector([]) == []


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("rule", ["letterbox", "keep"])
def test_a_stream_keeps_its_order_in_any_batches(runtime: Any, folder: Path, batch_size: int, rule: Any) -> None:
    runtime.preprocessing = Preprocessing((96, 128), rule)
    pairs = list(Detector(runtime, batch_size=batch_size).stream(folder))
    assert [frame.name for frame, _ in pairs] == [f"scene_{i}.png" for i in range(5)]
    for (_, found), box in zip(pairs, BOXES, strict=True):
        np.testing.assert_allclose(found.bboxes[0], box, atol=1.2)
    assert sum(shape[0] for shape in runtime.batches) == 5
    if rule == "letterbox":  # inputs of one size fill whole batches
        assert [shape[0] for shape in runtime.batches] == [batch_size] * (5 // batch_size) + [5 % batch_size] * (
            5 % batch_size > 0
        )


def test_the_score_threshold_filters_calls_and_not_arrays(runtime: Any, folder: Path) -> None:
    path = folder / "scene_0.png"
    assert len(Detector(runtime)(path)) == 1
    assert len(Detector(runtime, score_threshold=0, num_detections=20)(path)) == 19  # the last row has score 0
    assert Detector(runtime).stacked(path, 20)["scores"].shape == (1, 20)


def test_stacked_arrays_are_the_folder_s_files_by_name(runtime: Any, folder: Path) -> None:
    stacked = Detector(runtime, batch_size=2).stacked(folder, 7)
    assert stacked["paths"] == [str(folder / f"scene_{i}.png") for i in range(5)]
    assert stacked["bboxes"].shape == (5, 7, 4) and stacked["bboxes"].dtype == np.float32
    assert stacked["labels"].shape == (5, 7) and stacked["labels"].dtype == np.int64
    assert stacked["scores"].shape == (5, 7) and stacked["scores"].dtype == np.float32
    np.testing.assert_allclose(stacked["bboxes"][:, 0], BOXES, atol=1.2)
    assert (np.diff(stacked["scores"], axis=1) <= 0).all()


def test_rows_are_always_k(runtime: Any, folder: Path) -> None:
    runtime.most = 3
    stacked = Detector(runtime).stacked(folder, 10)
    assert stacked["bboxes"].shape == (5, 10, 4)
    assert (stacked["scores"][:, 3:] == 0).all() and (stacked["bboxes"][:, 3:] == 0).all()
    assert Detector(runtime).stacked([], 10)["bboxes"].shape == (0, 10, 4)


def test_a_bad_picture_of_a_folder_is_left_out_with_a_warning(runtime: Any, folder: Path) -> None:
    (folder / "scene_2.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"scene_2\.png.*left out"):
        stacked = Detector(runtime).stacked(folder)
    assert [Path(path).stem for path in stacked["paths"]] == ["scene_0", "scene_1", "scene_3", "scene_4"]
    np.testing.assert_allclose(stacked["bboxes"][2, 0], BOXES[3], atol=1.2)
    for i in range(5):
        (folder / f"scene_{i}.png").write_bytes(b"no picture")
    errors: list[ImageError] = []
    with pytest.raises(SourceError, match="none of the 5 images"):
        Detector(runtime).stacked(folder, on_error=errors.append)
    assert len(errors) == 5


def test_a_bad_picture_alone_is_an_error(runtime: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"no picture")
    for use in (Detector(runtime), Detector(runtime).stacked):
        with pytest.raises(ImageError, match=r"bad\.jpg"):
            use(path)
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        Detector(runtime)([scene(BOXES[0]), path])


def test_a_video_streams_and_what_was_read_before_it_broke_off_comes_out(runtime: Any, video: Path) -> None:
    detector = Detector(runtime, batch_size=8)
    whole = list(detector.stream(video))
    assert len(whole) == 20
    np.testing.assert_allclose(whole[7][1].bboxes[0], [28, 10, 68, 70], atol=2)
    assert detector.stacked(video, 5)["paths"][:2] == ["clip_000000", "clip_000001"]

    data = video.read_bytes()
    data = data[: len(data) * 8 // 10]
    video.write_bytes(data)
    begun = data.count(b"\xff\xd8")  # each frame begins with JPEG's mark; the last one is cut
    pairs = []
    with pytest.raises(SourceError, match="breaks off"):
        for pair in detector.stream(video):
            pairs.append(pair)
    assert len(pairs) in (begun - 1, begun) and len(pairs) > detector.batch_size


def test_more_than_a_picture_is_sent_to_stream(runtime: Any, folder: Path, video: Path) -> None:
    for source in (folder, video, [video]):
        with pytest.raises(SourceError, match=r"detector\.stream"):
            Detector(runtime)(source)


@pytest.mark.parametrize("n", range(1, 9))
def test_exif_orientation_counts(runtime: Any, tmp_path: Path, n: int) -> None:
    from PIL import Image

    box = (10, 20, 60, 80)
    turn = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[n]  # what undoes the orientation, as Pillow counts
    upright = Image.fromarray(scene(box))
    stored = upright if turn is None else upright.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = n
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    np.testing.assert_allclose(Detector(runtime)(tmp_path / "turned.jpg").bboxes[0], box, atol=1.5)


def test_what_a_diverged_model_gives_is_named_with_the_picture(folder: Path, runtime: Any) -> None:
    class Diverged(type(runtime)):  # type: ignore[misc]
        def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
            return {
                **super().__call__(images, num_detections),
                "bboxes": np.full((len(images), num_detections, 4), np.nan),
            }

    with pytest.raises(ValueError, match=r"scene_0\.png: .*finite"):
        Detector(Diverged())(folder / "scene_0.png")


def test_unknown_models_get_an_error_that_says_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.weird: .*'\.weird'.*\.onnx.*\.ckpt"):
        Detector(tmp_path / "model.weird")
    for suffix in ("onnx", "xml", "pt", "pt2"):
        with pytest.raises(FileNotFoundError, match=rf"missing\.{suffix}: .*centernet export"):
            Detector(tmp_path / f"missing.{suffix}")
    with pytest.raises(FileNotFoundError, match=r"missing\.ckpt"):
        Detector(tmp_path / "missing.ckpt")
    with pytest.raises(TypeError, match="got int"):
        Detector(7)


@pytest.mark.parametrize("option", [{"score_threshold": 2}, {"num_detections": 0}, {"batch_size": 0}])
def test_options_out_of_range_are_named(runtime: Any, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        Detector(runtime, **option)


def test_runtimes_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from centernet import Detector, Preprocessing\n"
        "class Nothing:\n"
        "    preprocessing = Preprocessing((32, 32)); class_names = ('a',)\n"
        "    def __call__(self, images, k):\n"
        "        n = len(images)\n"
        "        return {'bboxes': np.zeros((n, k, 4)), 'labels': np.zeros((n, k), int), 'scores': np.zeros((n, k))}\n"
        "assert len(Detector(Nothing())(np.zeros((8, 8, 3), np.uint8))) == 0"
    )
    source = str(Path(detections_module.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": source})


def test_opencv_reads_what_it_wrote(tmp_path: Path, runtime: Any) -> None:
    """Pictures saved by OpenCV are BGR on disk and RGB for the network: a red rectangle must not turn blue."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[20:80, 10:60] = (255, 200, 130)
    cv2.imwrite(str(tmp_path / "red.png"), image[..., ::-1])

    class Colours(type(runtime)):  # type: ignore[misc]
        def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
            assert images[0, 40, 30, 0] > images[0, 40, 30, 1] > images[0, 40, 30, 2]
            return super().__call__(images, num_detections)

    assert len(Detector(Colours())(tmp_path / "red.png")) == 1
