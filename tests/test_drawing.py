"""Boxes and labels that can be seen on any ground."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet import drawing, fonts
from centernet.detections import Column, Detections
from centernet.drawing import class_colour
from centernet.inference import Trails, contact_sheet, draw


def detections(*boxes: tuple[float, ...], scores: Any = None, **columns: Any) -> Detections:
    labels = columns.pop("labels", list(range(len(boxes))))
    return Detections(boxes, labels, np.full(len(boxes), 0.8) if scores is None else scores, **columns)  # type: ignore


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(-1)


def contrast(a: Any, b: Any) -> float:
    """WCAG 2 contrast of two colours, 1..21."""

    def luminance(colour: Any) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.array(colour[:3]) / 255]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", [0, 90, 128, 200, 255])
@pytest.mark.parametrize("label", range(12))
def test_every_class_is_seen_on_every_ground(ground: int, label: int) -> None:
    image = np.full((240, 320, 3), ground, np.uint8)
    drawn = draw(image, detections((100, 100, 220, 200), labels=[label]))
    band = drawn[195:206, 160]  # across the lower edge, away from the label
    assert max(contrast(pixel, (ground,) * 3) for pixel in band) >= 2, "by lightness alone: the hue comes on top"
    assert (band == class_colour(label)).all(-1).any(), "in the colour of the class"


def test_letters_stand_out_from_their_chip() -> None:
    drawn = draw(np.full((240, 320, 3), 128, np.uint8), detections((100, 100, 300, 200), class_names=("mmmm",)))
    chip = drawn[82:98, 104:150].reshape(-1, 3)
    assert contrast(chip.min(0), class_colour(0)) >= 4.5  # what WCAG asks of text


def test_the_outline_is_on_the_edges_and_the_object_stays_free() -> None:
    image = np.full((480, 640, 3), 77, np.uint8)
    drawn = draw(image, detections((200, 150, 400, 350)))
    touched = changed(image, drawn)
    assert touched[250, 200] and touched[250, 399] and touched[349, 300]
    assert not touched[160:340, 210:390].any()
    assert not touched[:, :190].any() and not touched[:, 410:].any() and not touched[360:].any()
    assert not changed(image, np.full_like(image, 77)).any(), "the picture given is not changed"


def test_lines_and_letters_grow_with_the_picture() -> None:
    areas = []
    for scale in (1, 4):
        image = np.zeros((240 * scale, 320 * scale, 3), np.uint8)
        box = tuple(v * scale for v in (100, 100, 220, 200))
        areas.append(changed(image, draw(image, detections(box))).mean())
    assert 0.4 < areas[1] / areas[0] < 1.6


def test_colours_are_stable_and_different() -> None:
    colours = [class_colour(i) for i in range(20)]
    assert colours == [class_colour(i) for i in range(20)]
    for a, b in itertools.combinations(colours, 2):
        assert np.abs(np.subtract(a, b)).sum() > 30, (a, b)
    for a, b in itertools.pairwise(colours):
        assert np.abs(np.subtract(a, b)).sum() > 150, (a, b)


def test_identities_have_colours_of_their_own() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    box = (100.0, 100, 220, 200)
    first, second = (draw(image, detections(box, labels=[0], track_ids=[i])) for i in (1, 2))
    assert (first[199, 160] == class_colour(1)).all() and (second[199, 160] == class_colour(2)).all()


class TestTrails:
    def step(self, trails: Trails, *objects: tuple[int, int], size: tuple[int, int] = (120, 160)) -> np.ndarray:
        """The next frame, gray; objects are (identity, x of the centre), 20 wide at the height of 60."""
        boxes = [(x - 10.0, 50.0, x + 10.0, 70.0) for _, x in objects]
        tracks = Detections(
            np.reshape(boxes, (-1, 4)), [0] * len(boxes), [1] * len(boxes), track_ids=[i for i, _ in objects]
        )  # type: ignore[arg-type]
        image = np.full((*size, 3), 90, np.uint8)
        drawn = trails.draw(image, tracks)
        assert (image == 90).all(), "the frame that was given is not changed"
        return drawn

    def test_a_trail_follows_its_object_in_its_colour(self) -> None:
        trails = Trails(10)
        for x in range(20, 100, 10):
            drawn = self.step(trails, (5, x))
        touched = changed(drawn, np.full_like(drawn, 90))
        assert touched[60, 22:88].all() and not touched[:55].any() and not touched[:, 95:].any()
        pixel = drawn[60, 85].astype(float) - 90
        wanted = np.array(class_colour(5), float) - 90
        assert pixel @ wanted / np.linalg.norm(pixel) / np.linalg.norm(wanted) > 0.98

    def test_it_reaches_back_so_many_frames(self) -> None:
        trails = Trails(3)
        for x in range(20, 140, 10):
            drawn = self.step(trails, (5, x))
        touched = changed(drawn, np.full_like(drawn, 90))
        assert touched[60, 112:128].all() and not touched[60, :108].any()
        assert len(trails._frames) == 3, "memory is bounded"

    def test_objects_that_left_take_their_trail_along(self) -> None:
        trails = Trails()
        for x in range(20, 80, 10):
            self.step(trails, (1, x), (2, 150))
        drawn = self.step(trails, (2, 150))
        assert not changed(drawn, np.full_like(drawn, 90))[:, :130].any()

    def test_without_identities_nothing_is_drawn(self) -> None:
        trails, image = Trails(), np.full((120, 160, 3), 90, np.uint8)
        for x in (20, 60):
            drawn = trails.draw(image, detections((x, 10, x + 20, 40)))
        np.testing.assert_array_equal(drawn, image)

    def test_a_length_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="length"):
            Trails(0)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 320, 240), (-50, -50, 400, 400), (300, 220, 320, 240), (0, 0, 3, 3), (5, 5, 5, 5), (0, 100, 320, 100)],
)
def test_boxes_at_the_border_and_without_area_have_whole_labels(box: tuple[float, ...]) -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    middle = draw(image, detections((100, 100, 320 - 100, 200)))
    drawn = draw(image, detections(box))
    colour = np.array(class_colour(0))
    chip_pixels = int((middle == colour).all(-1).sum())
    assert (drawn == colour).all(-1).sum() > 0.2 * chip_pixels


def test_labels_of_neighbours_do_not_hide_each_other() -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    boxes = [(100, 100, 200, 180), (104, 102, 206, 184)]
    apart = [draw(image, detections(box, labels=[i])) for i, box in enumerate(boxes)]
    together = draw(image, detections(*boxes))
    for i, alone in enumerate(apart):
        own = np.array(class_colour(i))
        assert (together == own).all(-1).sum() > 0.7 * (alone == own).all(-1).sum()


@pytest.mark.parametrize(
    "box",
    [
        *((60, 0, 100, 30), (0, 60, 30, 100), (130, 60, 160, 100), (60, 130, 100, 160), (0, 0, 30, 30)),
        *((130, 130, 160, 160), (0, 30, 160, 130), (30, 0, 130, 160), (30, 16, 130, 160)),
    ],
)
def test_labels_of_small_images_leave_their_objects_free(box: tuple[float, ...]) -> None:
    image = np.full((160, 160, 3), 128, np.uint8)
    drawn = changed(image, draw(image, detections(box, class_names=("triangle",))))
    x1, y1, x2, y2 = (int(v) for v in box)
    inside = drawn[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4]
    assert not inside.any() if box != (30, 0, 130, 160) else inside.mean() < 0.06


def test_labels_keep_off_other_objects_and_may_lack_scores() -> None:
    image = np.full((160, 160, 3), 128, np.uint8)
    boxes = [(20, 60, 60, 100), (20, 40, 60, 58)]  # the second lies where the first's label would be
    drawn = changed(image, draw(image, detections(*boxes, scores=[0.9, 0.8], class_names=("cat", "dog"))))
    assert not drawn[44:54, 24:56].any() and not drawn[64:96, 24:56].any()
    plain = changed(image, draw(image, detections(*boxes, class_names=("cat", "dog")), with_scores=False))
    assert plain.sum() < drawn.sum()


def test_nothing_found_gives_the_picture() -> None:
    image = np.full((24, 32, 3), 128, np.uint8)
    drawn = draw(image, Detections.empty())
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


@pytest.mark.filterwarnings("ignore:no font:UserWarning")
def test_tiny_pictures_and_other_scripts_are_drawn() -> None:
    for shape in ((1, 1), (8, 200), (40, 30)):
        image = np.zeros((*shape, 3), np.uint8)
        assert (
            draw(image, detections((0, 0, shape[1], shape[0]), class_names=("Straße 自行车 человек",))).shape
            == image.shape
        )


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        draw(np.zeros((4, 4, 3)), detections((0, 0, 1, 1)))  # type: ignore[arg-type]


def test_contact_sheets_hold_every_picture() -> None:
    images = [np.full((100 + 10 * i, 150, 3), 60 + 30 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, columns=3, tile_width=90)
    assert sheet.dtype == np.uint8 and sheet.shape[1] > 3 * 90 and sheet.shape[0] < sheet.shape[1]
    for i in range(5):
        assert (sheet == 60 + 30 * i).all(-1).sum() > 0.6 * 90 * 60
    assert contact_sheet(images[:1], columns=4, tile_width=90).shape[1] < 100
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_further_columns_are_drawn_by_their_kind() -> None:
    image = np.full((200, 300, 3), 128, np.uint8)
    columns = [Column("pose", "points", (2, 3)), Column("head", "boxes", (4,)), Column("age", "value")]
    pose = [[[150, 100, 0.9], [900, np.nan, 0.9]]]  # the second lies nowhere
    data = {"pose": pose, "head": [[60, 50, 90, 80]], "age": [34.0]}
    plain = draw(image, detections((40, 40, 200, 180)))
    drawn = draw(image, detections((40, 40, 200, 180), columns=columns, data=data))
    assert tuple(drawn[100, 150]) == class_colour(0) and (plain[100, 150] == 128).all()
    assert tuple(drawn[65, 60]) == class_colour(0) and (plain[65, 60] == 128).all()
    assert (drawn[100:160, 100:140] == 128).all(), "nothing but that"
    nowhere = detections((40, 40, 200, 180), columns=columns[1:2], data={"head": [[np.nan] * 4]})
    np.testing.assert_array_equal(draw(image, nowhere), plain)


@pytest.mark.parametrize(("size", "number"), [((360, 640), 40), ((120, 160), 12), ((720, 1280), 120)])
def test_labels_of_a_crowd_hide_neither_each_other_nor_the_people(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], number: int
) -> None:
    placed: list[tuple[int, int, int, int]] = []
    arrange = drawing._labels

    def arranged(*arguments: Any) -> Any:
        labels = arrange(*arguments)
        placed.extend(place for place, *_ in labels)
        return labels

    monkeypatch.setattr(drawing, "_labels", arranged)
    rng = np.random.default_rng(3)
    corners = rng.uniform([0, 0.3], [0.6, 0.6], (number, 2)) * size[::-1]
    boxes = np.concatenate([corners, corners + np.array([0.05, 0.2]) * size[::-1]], axis=1)
    crowd = detections(*boxes, scores=rng.uniform(0.3, 1, number), labels=[0] * number, track_ids=range(number))
    draw(np.full((*size, 3), 128, np.uint8), crowd)
    assert len(placed) >= number // 4, "some say what they are"
    cover = np.zeros(size, bool)
    for place, (x1, y1, x2, y2) in enumerate(placed):
        overlap = cover[y1:y2, x1:x2].mean()
        assert overlap <= 0.5, f"label {place} is half hidden by others or hides them"
        cover[y1:y2, x1:x2] = True
    shares = [cover[int(y1) : int(y2), int(x1) : int(x2)].mean() for x1, y1, x2, y2 in boxes]
    assert np.mean(shares) < 0.5, "most of the people is seen"


class TestLabels:
    IMAGE = np.full((200, 300, 3), 128, np.uint8)
    BOX = (60, 60, 200, 160)

    def drawn(self, **options: Any) -> np.ndarray:
        tracked = detections(self.BOX, class_names=("cat",), track_ids=[4])
        return draw(self.IMAGE, tracked, **options)

    def test_they_say_what_is_asked_for(self) -> None:
        sets = [("id", "name", "score"), ("name", "score"), ("name",), ("score",), ("id",), ("none",)]
        sizes = [changed(self.IMAGE, self.drawn(labels=labels)).sum() for labels in sets]
        assert sizes[0] > sizes[1] > sizes[2] > sizes[-1] and sizes[3] > sizes[-1] and sizes[4] > sizes[-1]
        np.testing.assert_array_equal(self.drawn(labels=sets[0][::-1]), self.drawn())
        np.testing.assert_array_equal(self.drawn(labels=[]), self.drawn(labels=["none"]))
        with pytest.raises(ValueError, match="labels: expected some of name, score, id, none, got 'names'"):
            self.drawn(labels=["names"])

    def test_lines_are_as_wide_as_asked_for(self) -> None:
        for width in (1, 3, 8):
            row = (self.drawn(line_width=width, labels=()) == class_colour(4)).all(-1)[100, :130]
            assert row.sum() == width and abs(np.nonzero(row)[0].mean() + 0.5 - 60) <= 0.5

    @pytest.mark.parametrize("names", [("человек", "машина"), ("Ωmega", "Σigma")])
    def test_letters_that_pillow_s_font_lacks_are_taken_from_another(self, names: tuple[str, str]) -> None:
        if fonts._choose(frozenset("".join(names)), None)[1]:
            pytest.skip("no font of this system has them")
        one, other = (draw(self.IMAGE, detections(self.BOX, class_names=(name,))) for name in names)
        assert (one != other).any()

    def test_letters_that_no_font_has_are_told_apart_and_said_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fonts, "_told", set())
        letters = ("\U0001f9ff", "\ue0f1", "\U000f1234")  # the last two are nobody's
        with pytest.warns(UserWarning, match="no font of this system has.*--font FILE") as said:
            drawings = [draw(self.IMAGE, detections(self.BOX, class_names=(name,))) for name in letters[1:]]
        assert len(said) == 1 and (drawings[0] != drawings[1]).any()
        code = draw(self.IMAGE, detections(self.BOX, class_names=("\\ue0f1",)))
        np.testing.assert_array_equal(drawings[0], code)

    def test_a_font_of_one_s_own(self, tmp_path: Path) -> None:
        builder = pytest.importorskip("fontTools.fontBuilder")
        pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
        letters = {ord(letter): f"g{ord(letter):04x}" for letter in "人車 0.8"}
        build = builder.FontBuilder(1000, isTTF=True)
        build.setupGlyphOrder([".notdef", *letters.values()])
        build.setupCharacterMap(letters)
        shapes = {}
        for place, name in enumerate([".notdef", *letters.values()]):
            pen = pens.TTGlyphPen(None)
            pen.moveTo((0, 0))
            for corner in [(100 * place + 90, 0), (100 * place + 50, 700), (0, 600)]:
                pen.lineTo(corner)
            pen.closePath()
            shapes[name] = pen.glyph()
        build.setupGlyf(shapes)
        build.setupHorizontalMetrics({name: (1000, 0) for name in shapes})
        build.setupHorizontalHeader(ascent=800, descent=-200)
        build.setupNameTable({"familyName": "Test", "styleName": "Regular"})
        build.setupOS2()
        build.setupPost()
        build.save(tmp_path / "own.ttf")
        font, text = fonts.font_for("人 0.8", 20, str(tmp_path / "own.ttf"))
        assert text == "人 0.8" and font.path == str(tmp_path / "own.ttf")  # type: ignore[union-attr]
        drawings = [
            draw(self.IMAGE, detections(self.BOX, class_names=(name,)), font=tmp_path / "own.ttf") for name in "人車"
        ]
        assert (drawings[0] != drawings[1]).any()
        other = fonts.font_for("é", 20, str(tmp_path / "own.ttf"))[0]  # a letter that it lacks
        assert getattr(other, "path", None) != str(tmp_path / "own.ttf")
        with pytest.raises(ValueError, match=r"none\.ttf: no font"):
            draw(self.IMAGE, detections(self.BOX), font=tmp_path / "none.ttf")
