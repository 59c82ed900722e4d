"""Images found by the names that other files give them."""

from __future__ import annotations

import pytest

from centernet.annotations.image_names import ImageNames
from centernet.annotations.problems import DataError

NAMES = ["data/train/a.jpg", "data/val/a.jpg", "data/val/b.png", "data/val/c.d.JPG", "data/val/273271,c9db.jpg"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("b.png", 2), ("b", 2), ("/elsewhere/b.png", 2), ("..\\val\\b.png", 2), ("B.PNG", 2), ("b.jpg", -1),
        ("val/a.jpg", 1), ("data/train/a", 0), ("c.d", 3), ("c.d.jpg", 3), ("c", -1), ("273271,c9db", 4), ("", -1),
    ],
)  # fmt: skip
def test_a_name_finds_its_image(name: str, place: int) -> None:
    assert ImageNames(NAMES).find(name) == place


@pytest.mark.parametrize("name", ["a.jpg", "a", "other/a.jpg"])
def test_a_name_that_may_mean_two_is_an_error(name: str) -> None:
    with pytest.raises(DataError, match=r"may be data/train/a\.jpg or data/val/a\.jpg"):
        ImageNames(NAMES).find(name)


def test_capitals_tell_images_apart_where_they_must() -> None:
    names = ImageNames(["a.jpg", "A.jpg"])
    assert names.find("a.jpg") == 0 and names.find("A.jpg") == 1


def test_two_names_of_one_image() -> None:
    names = ImageNames(NAMES)
    assert names.find_all(["train/b.png", "val/b.png"]) == {"train/b.png": -1, "val/b.png": 2}
    assert names.find_all(["val/b.png", "train/b.png"]) == {"train/b.png": -1, "val/b.png": 2}
    with pytest.raises(DataError, match=r"both fit data/val/b\.png"):
        names.find_all(["x/b.png", "y/b.png"])
