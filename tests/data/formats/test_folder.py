"""A folder of pictures as a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from centernet.data import DataError, DataWarning, ImageFolder
from centernet.testing import check_dataset


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
def test_every_picture_of_the_fixtures_is_used_or_named(shared: Path) -> None:
    folder = shared / "data/fixtures"
    dataset = ImageFolder(folder)
    check_dataset(dataset, samples=100)
    used = {dataset.path(index).name for index in range(len(dataset))}
    named = {Path(problem.path).name for problem in dataset.problems}
    pictures = {path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".md"}
    assert used | named == pictures
    # What the folder's README calls cut off or no picture at all; the first is found when it is read.
    assert named == {"truncated.jpg", "header_only.jpg", "empty.jpg", "text_inside.jpg"}
    assert used & named == {"truncated.jpg"}


def test_sizes_are_those_of_the_upright_pictures(shared: Path) -> None:
    dataset = ImageFolder(shared / "data/fixtures/exif")
    assert {(dataset.annotation(i).height, dataset.annotation(i).width) for i in range(len(dataset))} == {(240, 360)}
    assert [dataset.path(i).name for i in range(8)] == [f"orientation_{i}.jpg" for i in range(1, 9)]
    check_dataset(dataset)


def test_subfolders_and_strictness(shared: Path, tmp_path: Path) -> None:
    with pytest.warns(DataWarning):
        assert len(ImageFolder(shared / "data/fixtures", recursive=True)) > 30
    with pytest.raises(DataError, match=r"empty.jpg.*strict"):
        ImageFolder(shared / "data/fixtures", strict=True)
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(DataError, match="no images here"):
        ImageFolder(tmp_path)
