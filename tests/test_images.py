"""Reading images as a viewer shows them, and the way to the network's input and back."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from centernet import boxes, images
from centernet.images import (
    ImageError,
    Preprocessing,
    image_size,
    is_upright,
    list_images,
    open_image,
    read_image,
    warp,
    window,
)


@pytest.fixture
def fixtures(shared: Path) -> Path:
    return shared / "data/fixtures"


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in gray levels."""
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def save(array: np.ndarray | Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(file, format_, **options)
    return file.getvalue()


class TestReading:
    def test_the_eight_orientations_are_one_image(self, fixtures: Path) -> None:
        upright = read_image(fixtures / "exif/orientation_1.jpg")
        assert upright.shape == (240, 360, 3)
        for n in range(1, 9):
            path = fixtures / f"exif/orientation_{n}.jpg"
            assert image_size(path) == (240, 360)
            assert difference(read_image(path), upright) < 3, path.name

    def test_a_turned_tiff_is_turned_once(self) -> None:
        stored = np.zeros((20, 30, 3), np.uint8)
        stored[:5] = 255
        exif = Image.Exif()
        exif[0x0112] = 6  # the first row is shown at the right
        data = save(stored, "TIFF", exif=exif)
        assert image_size(data) == (30, 20)
        image = read_image(data)
        assert image.shape == (30, 20, 3)
        assert image[:, -5:].min() == 255 and image[:, :-5].max() == 0

    @pytest.mark.parametrize(
        ("name", "tolerance"),
        [
            ("progressive.jpg", 1),
            ("cmyk.jpg", 4),
            ("palette.png", 10),
            ("picture.webp", 4),
            ("picture.bmp", 6),
            ("picture.tiff", 6),
            ("animated.gif", 14),
            ("png_inside.jpg", 6),
            ("name with space.jpg", 6),
        ],
    )
    @pytest.mark.filterwarnings("ignore:.*the first alone is looked at")
    def test_every_container_shows_the_same_image(self, fixtures: Path, name: str, tolerance: float) -> None:
        usual = read_image(fixtures / "rgb_baseline.jpg")
        image = read_image(fixtures / name)
        assert image.dtype == np.uint8 and image.flags.writeable and image.flags.c_contiguous
        assert image_size(fixtures / name) == image.shape[:2]
        small = Image.fromarray(usual).resize((image.shape[1], image.shape[0]), Image.Resampling.BOX)
        assert difference(image, np.asarray(small)) < tolerance

    @pytest.mark.parametrize("name", ["gray.jpg", "gray16.png", "gray_alpha.png", "bilevel.png"])
    def test_gray_images_have_three_equal_channels(self, fixtures: Path, name: str) -> None:
        image = read_image(fixtures / name)
        assert image.shape[2] == 3
        assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
        assert image.max() > 200, "darkened: 16 bits must be scaled, not cut"

    @pytest.mark.parametrize("name", ["gray16.png", "rgb16.png"])
    def test_sixteen_bits_are_scaled_to_eight(self, fixtures: Path, name: str) -> None:
        image = read_image(fixtures / name)
        usual = Image.fromarray(read_image(fixtures / "rgb_baseline.jpg"))
        small = usual.resize((image.shape[1], image.shape[0]), Image.Resampling.BOX)
        expected = np.asarray(small.convert("L").convert("RGB") if name == "gray16.png" else small)
        assert difference(image, expected) < 8

    def test_sixteen_bits_round_to_the_nearest_of_the_full_range(self) -> None:
        values = np.array([[0, 128, 257, 32768, 65535]], dtype=np.uint16)
        assert read_image(save(values))[0, :, 0].tolist() == [0, 0, 1, 128, 255]

    def test_float_images_keep_their_range(self) -> None:
        unit = np.linspace(0, 1, 5, dtype=np.float32)[None]
        assert read_image(save(unit, "TIFF"))[0, :, 0].tolist() == [0, 64, 128, 191, 255]
        assert read_image(save(unit * 200, "TIFF"))[0, :, 0].tolist() == [0, 50, 100, 150, 200]

    @pytest.mark.parametrize("name", ["rgba.png", "gray_alpha.png"])
    def test_transparent_pixels_become_white(self, fixtures: Path, name: str) -> None:
        image = read_image(fixtures / name)
        assert image[:, :3].mean() > 240, "the left is transparent"
        assert image[:, -100:].mean() < 240, "the right is opaque"

    def test_a_transparent_palette_colour_becomes_white(self, fixtures: Path) -> None:
        path = fixtures / "palette_transparency.png"
        with Image.open(path) as stored:
            clear = np.asarray(stored.convert("RGBA"))[..., 3] == 0
        assert clear.any()
        assert (read_image(path)[clear] == 255).all()

    def test_half_transparent_is_half_white(self) -> None:
        rgba = np.full((2, 2, 4), (0, 100, 200, 128), np.uint8)
        assert np.abs(read_image(save(rgba))[0, 0].astype(int) - [127, 177, 227]).max() <= 1

    @pytest.mark.parametrize(("name", "size"), [("wide_2000x60.jpg", (60, 2000)), ("tall_60x2000.jpg", (2000, 60))])
    def test_extreme_shapes(self, fixtures: Path, name: str, size: tuple[int, int]) -> None:
        assert read_image(fixtures / name).shape == (*size, 3)
        assert image_size(fixtures / name) == size

    def test_a_single_pixel(self, fixtures: Path) -> None:
        for name in ("one_pixel.png", "one_pixel.jpg"):
            assert read_image(fixtures / name).shape == (1, 1, 3)

    def test_bytes_and_file_objects_are_read_too(self, fixtures: Path) -> None:
        path = fixtures / "rgb_baseline.jpg"
        with path.open("rb") as file:
            np.testing.assert_array_equal(read_image(file), read_image(path))
        np.testing.assert_array_equal(read_image(path.read_bytes()), read_image(str(path)))

    def test_a_format_that_only_opencv_knows(self, tmp_path: Path) -> None:
        path = tmp_path / "scene.hdr"
        pixel = bytes([128, 64, 32, 128])  # red, green, blue and a shared exponent of 0: .5 .25 .125
        path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 3\n" + pixel * 6)
        image = read_image(path)
        assert image.shape == (2, 3, 3) and image_size(path) == (2, 3)
        assert image[0, 0, 0] > image[0, 0, 1] > image[0, 0, 2]

    @pytest.mark.parametrize("suffix", [".tiff", ".pfm"])
    def test_float_colours(self, tmp_path: Path, suffix: str) -> None:
        pixel = np.array([0.2, 0.6, 1.0], np.float32)
        # OpenCV 4 would choose SGI's lossy LogLuv for float TIFF.
        lossless = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == ".tiff" else []
        cv2.imwrite(str(tmp_path / f"scene{suffix}"), np.tile(pixel[::-1], (4, 5, 1)), lossless)
        assert read_image(tmp_path / f"scene{suffix}")[2, 3].tolist() == [51, 153, 255]

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("truncated.jpg", "cut off"),
            ("header_only.jpg", ""),
            ("empty.jpg", "empty"),
            ("text_inside.jpg", "not an image"),
            ("missing.jpg", "no such file"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, fixtures: Path, name: str, says: str) -> None:
        with pytest.raises(ImageError, match=rf"{name}: .*{says}"):
            read_image(fixtures / name)

    def test_a_png_cut_off_anywhere_is_an_error(self) -> None:
        data = save(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
        for length in (1, 8, 20, 60, len(data) // 2):
            with pytest.raises(ImageError, match="image in memory"):
                read_image(data[:length])

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_damaged_orientation_does_not_lose_the_image(self) -> None:
        data = save(np.full((8, 8, 3), 90, np.uint8), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
        assert read_image(data).shape == (8, 8, 3)

    def test_a_decompression_bomb_is_refused(self) -> None:
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
        bomb += struct.pack(">I", zlib.crc32(b"IHDR" + header)) + struct.pack(">I", 100) + b"IDAT" + b"0" * 100
        with pytest.raises(ImageError, match="MAX_IMAGE_PIXELS"):
            read_image(bomb)


class TestListing:
    def test_by_name_whatever_the_case_of_the_suffix(self, tmp_path: Path) -> None:
        for name in ("b.jpg", "a.PNG", "c.webp", "notes.txt", "._b.jpg", "sub/d.jpg"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert [p.name for p in list_images(tmp_path)] == ["a.PNG", "b.jpg", "c.webp"]
        assert [p.name for p in list_images(tmp_path, recursive=True)] == ["a.PNG", "b.jpg", "c.webp", "d.jpg"]

    def test_errors_say_what_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="no such folder"):
            list_images(tmp_path / "nowhere")
        with pytest.raises(ImageError, match="no files"):
            list_images(tmp_path)
        (tmp_path / "a.txt").touch()
        with pytest.raises(ImageError, match=r"\.txt"):
            list_images(tmp_path)
        (tmp_path / "sub").mkdir()
        with pytest.raises(ImageError, match="subfolders"):
            list_images(tmp_path)


def scene(size_hw: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    """A white rectangle on black; the box covers whole pixels, so its corners are exact."""
    image = np.zeros((*size_hw, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return image


def find(image: np.ndarray) -> list[float]:
    """The rectangle's corners, to a fraction of a pixel: where the profiles through its middle cross half white."""
    gray = image[..., 0].astype(float) / 255
    rows, columns = np.nonzero(gray > 0.9)
    across, down = gray[int(np.median(rows))], gray[:, int(np.median(columns))]

    def edges(profile: np.ndarray) -> tuple[float, float]:
        inside = np.flatnonzero(profile >= 0.5)
        first, last = inside[0], inside[-1]
        low = first + 0.5 - (profile[first] - 0.5) / max(profile[first] - profile[first - 1], 1e-9)
        high = last + 0.5 + (profile[last] - 0.5) / max(profile[last] - profile[last + 1], 1e-9)
        return low, high

    (x1, x2), (y1, y2) = edges(across), edges(down)
    return [x1, y1, x2, y2]


SIZES = [(480, 640), (100, 60), (61, 47), (333, 2000), (1999, 700), (1201, 1603), (512, 512)]


@pytest.mark.parametrize("image_hw", SIZES)
@pytest.mark.parametrize("resize", ["letterbox", "stretch", "keep"])
class TestPreprocessing:
    def test_boxes_come_back(self, image_hw: tuple[int, int], resize: Any) -> None:
        preprocessing = Preprocessing((384, 640), resize)
        rng = np.random.default_rng(1)
        low = rng.uniform(0, 0.5, (50, 2))
        scale = np.array(image_hw)[::-1]
        given = (np.concatenate([low, low + rng.uniform(0, 0.5, (50, 2))], 1) * np.tile(scale, 2)).astype(np.float32)
        back = preprocessing.to_original(preprocessing.to_input(given, image_hw), image_hw)
        assert back.dtype == np.float32
        np.testing.assert_allclose(back, given, atol=1e-3)

    def test_the_image_lies_inside_the_input(self, image_hw: tuple[int, int], resize: Any) -> None:
        preprocessing = Preprocessing((384, 640), resize)
        height, width = image_hw
        x1, y1, x2, y2 = preprocessing.to_input(np.array([[0.0, 0, width, height]]), image_hw)[0]
        out_h, out_w = preprocessing.output_size(image_hw)
        assert 0 <= x1 < x2 <= out_w and 0 <= y1 < y2 <= out_h
        image = preprocessing(np.full((height, width, 3), 255, np.uint8))
        assert image.shape == (out_h, out_w, 3) and image.dtype == np.uint8
        covered = (image == 255).all(-1)
        assert covered[round(y1) : round(y2), round(x1) : round(x2)].all(), "the edge is mixed with the padding"
        assert covered.sum() == round((x2 - x1) * (y2 - y1))
        assert (image[~covered] == 114).all()
        if resize == "keep":
            assert (x1, y1, x2, y2) == (0, 0, width, height) and out_h % 32 == out_w % 32 == 0
        if resize == "letterbox":
            assert abs((x2 - x1) / (y2 - y1) - width / height) <= width / height / min(x2 - x1, y2 - y1)

    def test_a_rectangle_sits_where_its_box_is_mapped(self, image_hw: tuple[int, int], resize: Any) -> None:
        preprocessing = Preprocessing((384, 640), resize, pad_value=0)
        height, width = image_hw
        box = (width // 5, height // 4, width - width // 6, height - height // 5)
        expected = preprocessing.to_input(np.array([box], np.float64), image_hw)[0]
        image = scene(image_hw, box)
        np.testing.assert_allclose(find(preprocessing(image)), expected, atol=0.3)
        warped = warp(image, preprocessing.matrix(image_hw), preprocessing.output_size(image_hw), 0)
        np.testing.assert_allclose(find(warped), expected, atol=0.3)


@pytest.mark.parametrize("scale", [3.0, 1.0, 0.7, 0.5, 0.4, 0.13, 0.05])
def test_warp_keeps_half_pixels_and_mean_at_every_scale(scale: float) -> None:
    box = (203, 161, 961, 803)
    image = scene((1000, 1200), box)
    matrix = np.array([[scale, 0, 3.3], [0, scale, -1.7]])
    size = (int(1000 * scale) + 6, int(1200 * scale) + 6)
    expected = np.array(box) * scale + [3.3, -1.7, 3.3, -1.7]
    np.testing.assert_allclose(find(warp(image, matrix, size, 0)), expected, atol=0.15)


@pytest.mark.parametrize("scale", [0.45, 0.3, 0.11])
def test_shrinking_does_not_alias(scale: float) -> None:
    stripes = np.zeros((600, 800, 3), np.uint8)
    stripes[:, ::2] = 255  # one pixel white, one black: from afar, gray
    size = (int(600 * scale), int(800 * scale))
    shrunk = warp(stripes, np.array([[scale, 0, 0], [0, scale, 0]]), size)
    assert np.abs(shrunk[4:-4, 4:-4].astype(float) - 127.5).max() < 45  # two of three stripes: 42.5
    fitted = Preprocessing(size, "stretch")(stripes)
    assert np.abs(fitted[4:-4, 4:-4].astype(float) - 127.5).max() < 45


def test_warp_turns_and_mirrors_boxes_with_the_image() -> None:
    box = (30, 40, 90, 70)
    image = scene((100, 120), box)
    quarter = np.array([[0.0, -1, 100], [1, 0, 0]])  # 90 degrees
    mirror = np.array([[-1.0, 0, 120], [0, 1, 0]])
    np.testing.assert_array_equal(warp(image, mirror, (100, 120), 0), image[:, ::-1])
    np.testing.assert_array_equal(warp(image, quarter, (120, 100), 0), np.rot90(image, -1))
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(warp(image, identity, (100, 120), 0), image)


def test_one_pixel_and_extreme_shapes_become_inputs() -> None:
    for shape in ((1, 1), (1, 3000), (3000, 1), (60, 2000)):
        for rule in ("letterbox", "stretch"):
            out = Preprocessing((64, 96), rule)(np.full((*shape, 3), 200, np.uint8))  # type: ignore[arg-type]
            assert out.shape == (64, 96, 3) and (out == 200).any()


def test_clipping_is_to_the_original_image() -> None:
    preprocessing = Preprocessing((100, 100))
    wide = np.array([[-50.0, -50, 500, 500]], np.float32)
    np.testing.assert_allclose(preprocessing.to_original(wide, (50, 200)), [[0, 0, 200, 50]])
    assert preprocessing.to_original(wide, (50, 200), clip=False)[0, 0] == -100


def test_boxes_may_be_tensors() -> None:
    torch = pytest.importorskip("torch")
    preprocessing = Preprocessing((384, 640))
    given = torch.tensor([[10.0, 20, 300, 400]])
    mapped = preprocessing.to_input(given, (480, 640))
    assert isinstance(mapped, torch.Tensor)
    torch.testing.assert_close(preprocessing.to_original(mapped, (480, 640)), given)


def test_normalising_is_torchvisions() -> None:
    preprocessing = Preprocessing()
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    expected = ((image / 255 - mean) / std).transpose(0, 3, 1, 2)
    result = preprocessing.normalize(image)
    assert result.dtype == np.float32 and result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, atol=1e-5)
    one = preprocessing.normalize(image[0])  # an image alone
    np.testing.assert_array_equal(one, result[0])
    for wrong in (image / 255, image[0, ..., :2], image[0, 0]):
        with pytest.raises(ImageError, match=r"expected uint8 images N×H×W×3 or H×W×3"):
            preprocessing.normalize(wrong)


def test_preprocessing_travels_as_plain_values() -> None:
    given = Preprocessing((320, 448), "keep", (0.4, 0.5, 0.6), (1, 1, 1), 0, 16)
    assert Preprocessing.from_dict(json.loads(json.dumps(given.to_dict()))) == given
    assert Preprocessing.from_dict({}) == Preprocessing()
    assert Preprocessing.from_dict({"size": [256.0, 256]}).size == (256, 256)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"sise": [1, 1]}, "sise"),
        ({"size": 512}, "size"),
        ({"size": [512]}, "size"),
        ({"size": [512.5, 512]}, "size"),
        ({"size": [0, 512]}, "size"),
        ({"size": "51"}, "size"),
        ({"resize": "squash"}, "resize"),
        ({"mean": [1, 2]}, "mean"),
        ({"std": [1, 0, 1]}, "std"),
        ({"std": [1, float("nan"), 1]}, "std"),
        ({"pad_value": 256}, "pad_value"),
        ({"divisor": 0}, "divisor"),
        ({"divisor": None}, "divisor"),
    ],
)
def test_wrong_preprocessing_names_the_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Preprocessing.from_dict(values)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
        [1],
    ],
)
def test_other_arrays_are_refused_with_their_shape(image: Any) -> None:
    with pytest.raises(ImageError, match="uint8 array H×W×3"):
        Preprocessing()(image)


def test_suffixes_are_lower_case_and_known_to_pillow_or_opencv(tmp_path: Path) -> None:
    Image.init()
    others = {".hdr", ".pic", ".sr", ".heic", ".heif", ".hif"}  # OpenCV's; pi-heif's, which comes when needed
    for suffix in images.IMAGE_SUFFIXES:
        assert suffix == suffix.lower()
        assert suffix in Image.EXTENSION or suffix in others, suffix


class TestReduced:
    """What is read no larger than it is needed lies exactly where the whole image does."""

    @pytest.mark.parametrize("size", [(480, 640), (333, 517), (61, 47), (257, 1001)])
    @pytest.mark.parametrize("factor", [2, 4, 8])
    @pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
    def test_a_rectangle_stays_where_it_is(self, size: tuple[int, int], factor: int, options: dict[str, Any]) -> None:
        height, width = size
        box = (width // 5, height // 4, width - width // 6, height - height // 5)
        data = save(scene(size, box), "JPEG", quality=95, **options)
        pixels, scales = open_image(data).read(1 / factor)
        assert scales == (1 / factor, 1 / factor)
        assert pixels.shape == (-(-height // factor), -(-width // factor), 3)
        np.testing.assert_allclose(find(pixels), np.array(box) / factor, atol=0.15)

    @pytest.mark.parametrize("scale", [3.0, 1.0, 0.51, 0.5, 0.3, 0.13, 0.1, 0.001])
    def test_no_less_than_was_asked_for_and_no_more_than_twice(self, scale: float) -> None:
        image = open_image(save(np.zeros((300, 401, 3), np.uint8), "JPEG"))
        pixels, (scale_x, scale_y) = image.read(scale)
        assert image.size_hw == (300, 401)
        assert min(1, scale) <= scale_x == scale_y <= max(2 * scale, 1 / 8) or scale >= 1 == scale_x
        assert pixels.shape[1] == -(-401 * scale_x // 1) and pixels.dtype == np.uint8

    def test_the_eight_orientations(self, fixtures: Path) -> None:
        upright = open_image(fixtures / "exif/orientation_1.jpg").read(0.25)[0]
        assert upright.shape == (60, 90, 3)
        for n in range(1, 9):
            image = open_image(fixtures / f"exif/orientation_{n}.jpg")
            assert image.size_hw == (240, 360)
            assert difference(image.read(0.25)[0], upright) < 3

    def test_turned_sides_that_do_not_divide_are_reduced_less(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image = open_image(save(np.zeros((36, 50, 3), np.uint8), "JPEG", exif=exif))
        assert image.size_hw == (50, 36)
        pixels, scales = image.read(1 / 8)
        assert pixels.shape == (25, 18, 3) and scales == (0.5, 0.5)

    @pytest.mark.parametrize("name", ["progressive.jpg", "cmyk.jpg", "gray.jpg", "rgb_baseline.jpg"])
    def test_every_kind_of_jpeg(self, fixtures: Path, name: str) -> None:
        image = open_image(fixtures / name)
        pixels, scales = image.read(0.5)
        assert scales == (0.5, 0.5)
        whole = Image.fromarray(read_image(fixtures / name))
        small = np.asarray(whole.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BOX))
        assert difference(pixels, small) < 3

    def test_other_formats_come_whole(self) -> None:
        pixels, scales = open_image(save(np.zeros((30, 40, 3), np.uint8))).read(0.1)
        assert pixels.shape == (30, 40, 3) and scales == (1, 1)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_opencv_and_pillow_decode_the_same_pixels(shared: Path, factor: int) -> None:
    for path in sorted((shared / "data/coco/images").iterdir())[:20]:
        with Image.open(path) as image:
            image.draft("RGB", (image.width // factor, image.height // factor))
            expected = np.array(image.convert("RGB"))
        assert np.array_equal(open_image(path).read(1 / factor)[0], expected)


def test_a_stray_marker_in_a_jpeg_is_an_error() -> None:
    """OpenCV would fill up what comes behind it; Pillow says that the file is damaged."""
    texture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = bytearray(save(texture, "JPEG", quality=90))
    middle = len(data) * 2 // 3
    data[middle : middle + 2] = b"\xff\xcb"  # a table that no decoder knows
    image = open_image(bytes(data))
    assert image.size_hw == (64, 64)
    for scale in (1.0, 0.5):
        with pytest.raises(ImageError, match="image in memory"):
            image.read(scale)


class TestWindow:
    @pytest.mark.parametrize("turns", [0, 1, 2, 3])
    @pytest.mark.parametrize("mirror", [1, -1])
    def test_it_is_the_warp_moved_by_less_than_a_pixel(self, turns: int, mirror: int) -> None:
        rng = np.random.default_rng(turns)
        box = (60, 45, 170, 120)
        image = scene((160, 220), box)
        size = (130, 150)
        for _ in range(20):
            scale_x, scale_y = rng.uniform(0.3, 2.5, 2)
            centre = rng.uniform([80, 60], [150, 110])
            cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns]
            linear = np.diag([mirror * scale_x, scale_y]) @ np.array([[cosine, -sine], [sine, cosine]])
            matrix = np.column_stack([linear, np.array([75, 65]) - linear @ centre])
            assert is_upright(matrix)
            seen = window(image, matrix, size)
            assert seen is not None
            shown = np.zeros((*size, 3), np.uint8)
            shown[seen.rows, seen.columns] = seen.pixels
            # Wherever a point of the image is seen, both matrices agree to a pixel.
            corners = np.array([[0, 0, 1], [220, 0, 1], [0, 160, 1], [220, 160, 1]])
            asked, done = corners @ matrix.T, corners @ seen.matrix.T
            visible = ((asked > -5) & (asked < np.array([155, 135]))).all(axis=1)
            assert np.abs(asked - done)[visible].max(initial=0) < 1.01
            expected = boxes.clip(boxes.transform(np.array([box], np.float64), seen.matrix), size)[0]
            if min(expected[2:] - expected[:2]) < 6:
                continue
            bright = shown[..., 0] > 127
            rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            np.testing.assert_allclose(found, expected, atol=0.75)

    def test_what_is_seen_reaches_the_edges(self) -> None:
        """Where the image covers the whole result, rounding leaves no gap."""
        image = np.full((100, 140, 3), 255, np.uint8)
        rng = np.random.default_rng(0)
        for _ in range(200):
            scale = rng.uniform(0.2, 6)
            size = (int(rng.uniform(0.2, 0.9) * 100 * scale) + 1, int(rng.uniform(0.2, 0.9) * 140 * scale) + 1)
            room = np.array([140 * scale - size[1], 100 * scale - size[0]])
            matrix = np.column_stack([np.diag([scale, scale]), -rng.uniform(0, 1, 2) * room])
            seen = window(image, matrix, size)
            assert seen is not None
            assert seen.pixels.shape[:2] == size, (scale, size)

    def test_nothing_is_seen_beside_the_image(self) -> None:
        image = np.zeros((20, 30, 3), np.uint8)
        assert window(image, np.array([[1.0, 0, 100], [0, 1, 0]]), (40, 40)) is None

    def test_turned_by_an_angle_is_not_upright(self) -> None:
        assert not is_upright(np.array([[1.0, 0.01, 0], [-0.01, 1, 0]]))
