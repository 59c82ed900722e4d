"""Damaged annotations: whatever happens to a file, it is read as it stands or named, never lost.

Each case damages one file of a small data set at random (seeded): flipped bytes, a cut-off end, wrong numbers, unknown
keys and words, lines that are gone or there twice. Only DataError and ImageError may be raised. What the file still
holds is read by a few lines of conftest.py that don't use the readers: every entry must have become a box or have been
named, and every box must be one that the file states.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.data import DataError, read_mot_detections
from centernet.images import ImageError
from centernet.testing import check_annotation

COUNT, SLOW_COUNT = 50, 500
NUMBERS = b"nan -inf 1e999 -7 0 1_0 abc 99999999999999999999 1e-300 12,5 null true [] {} -".split()
WORDS = b"unknown x class DontCare person null __class__ images".split()


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    values = bytearray(data)
    for place in rng.integers(len(values), size=rng.integers(1, 4)):
        values[place] = rng.integers(256)
    return bytes(values)


def cut_off(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def replace_one(data: bytes, pattern: bytes, new: Callable[[bytes], bytes], rng: np.random.Generator) -> bytes:
    matches = list(re.finditer(pattern, data))
    if not matches:
        return flip(data, rng)
    match = matches[rng.integers(len(matches))]
    return data[: match.start()] + new(match[0]) + data[match.end() :]


def wrong_number(data: bytes, rng: np.random.Generator) -> bytes:
    return replace_one(data, rb"-?\d+(\.\d+)?", lambda _: NUMBERS[rng.integers(len(NUMBERS))], rng)


def unknown_key(data: bytes, rng: np.random.Generator) -> bytes:
    def new(word: bytes) -> bytes:
        place = int(rng.integers(len(word)))
        changed = [
            WORDS[rng.integers(len(WORDS))],
            word[:place] + word[place + 1 :],
            word[:place] + b"q" + word[place + 1 :],
        ]
        return changed[rng.integers(3)]

    return replace_one(data, rb"[A-Za-z_]{2,}", new, rng)


def shuffle_lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    place = int(rng.integers(len(lines)))
    line = lines[place]
    lines[place : place + 1] = [[], [line, line], [line + line], [b"", line, b" \r"]][rng.integers(4)]
    return b"\n".join(lines)


DAMAGE = (flip, flip, cut_off, wrong_number, unknown_key, shuffle_lines)


def damaged(data: bytes, case: int) -> bytes:
    rng = np.random.default_rng([7, case])
    return DAMAGE[case % len(DAMAGE)](data, rng)


def rounded(boxes: Any, *, amodal: bool) -> Counter[tuple[int, ...]]:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    if not amodal:  # the pictures have 80×60 pixels
        array = np.clip(array, 0, [80, 60, 80, 60])
    return Counter(tuple(np.round(box.astype(np.float32) * 50).astype(int)) for box in array)


def check_damaged(small: Any, cases: range) -> None:
    good = small.file.read_bytes()
    others = small.boxes(good)[: small.others] if small.boxes else []
    used = 0
    for case in cases:
        data = damaged(good, case)
        small.file.write_bytes(data)
        try:
            dataset = small.read()
            for index in range(len(dataset)):
                where = f"case {case}: annotation({index})"
                check_annotation(dataset.annotation(index), len(dataset.class_names), where, amodal=dataset.amodal)
            small.count(data, dataset)
            if small.boxes is not None:
                there = rounded(np.concatenate([dataset.annotation(i).boxes for i in range(len(dataset))]), amodal=True)
                stated = rounded(small.boxes(data) + others, amodal=dataset.amodal)
                assert not there - stated, f"read {there - stated}, which the file doesn't say"
            for index in range(len(dataset)):
                check_annotation(dataset[index].annotation, len(dataset.class_names), where, amodal=dataset.amodal)
            used += 1
        except (DataError, ImageError) as error:
            assert len(str(error)) > 20, f"case {case}: {error}"
        except Exception as error:
            what = f"case {case} of {small.file.name}, {DAMAGE[case % len(DAMAGE)].__name__}: {data!r:.3000}"
            raise AssertionError(what) from error
    assert used > len(cases) // 10  # not everything is hopeless


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Problems are looked at in the data sets; Pillow warns of damage that it then gets over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_undamaged_files_have_no_problem(small: Any) -> None:
    dataset = small.read()
    assert dataset.problems == []
    small.count(small.file.read_bytes(), dataset)


def test_damaged_annotations(small: Any) -> None:
    check_damaged(small, range(COUNT))


@pytest.mark.slow
def test_many_damaged_annotations(small: Any) -> None:
    check_damaged(small, range(SLOW_COUNT))


def check_detections(path: Path, cases: range) -> None:
    good = "".join(f"{i % 4 + 1},-1,{3 * i}.5,{2 * i},30.25,40,0.{i}7,-1,-1,-1\n" for i in range(10)).encode()
    for case in cases:
        data = damaged(good, case)
        path.write_bytes(data)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frames = read_mot_detections(path)
        named = re.search(r"(\d+) problem", str(caught[0].message)) if caught else None
        found = sum(map(len, frames.values())) + (int(named[1]) if named else 0)
        assert found == len([line for line in data.split(b"\n") if line.strip()]), f"case {case}: {data!r}"


def test_damaged_detections(tmp_path: Path) -> None:
    check_detections(tmp_path / "det.txt", range(COUNT))


@pytest.mark.slow
def test_many_damaged_detections(tmp_path: Path) -> None:
    check_detections(tmp_path / "det.txt", range(SLOW_COUNT))
