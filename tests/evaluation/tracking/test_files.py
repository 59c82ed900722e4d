"""Finding and reading files: what is wrong is named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from centernet.evaluation.tracking import evaluate_tracking

GT = "".join(f"{frame},1,10,20,30,60,1,1,1\n" for frame in range(1, 6))
RESULTS = "".join(f"{frame},4,10,20,30,60,0.9,-1,-1,-1\n" for frame in range(1, 6))
KITTI_ROW = "{frame} 1 Car 0 0 0 10 20 90 80 0 0 0 0 0 0 0"
KITTI_GT = "".join(KITTI_ROW.format(frame=frame) + "\n" for frame in range(5))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder with one sequence of five frames, and results for it."""
    folder = tmp_path / "gt" / "street"
    (folder / "gt").mkdir(parents=True)
    (folder / "gt/gt.txt").write_text(GT, encoding="utf-8")
    (folder / "seqinfo.ini").write_text("[Sequence]\nseqLength=5\n", encoding="utf-8")
    (tmp_path / "found").mkdir()
    (tmp_path / "found/street.txt").write_text(RESULTS, encoding="utf-8")
    return tmp_path


def mota(truth: Path, results: Path) -> float:
    return evaluate_tracking(truth, results).stats["MOTA"]


def test_all_ways_to_say_where_the_files_are(street: Path) -> None:
    for truth in ("gt", "gt/street", "gt/street/gt", "gt/street/gt/gt.txt"):
        for results in ("found", "found/street.txt"):
            result = evaluate_tracking(street / truth, street / results)
            assert list(result.classes["pedestrian"]) == ["street", "COMBINED"] and result.stats["MOTA"] == 1
    (street / "flat").mkdir()
    (street / "gt/street/gt/gt.txt").rename(street / "flat/street.txt")
    (street / "found").rename(street / "data")  # a tracker's folder as TrackEval has it
    assert mota(street / "flat", street) == 1


def test_all_ways_to_say_where_kitti_s_files_are(tmp_path: Path) -> None:
    for folder in ("kitti/training/label_02", "found"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0001.txt").write_text(KITTI_GT, encoding="utf-8")
    for truth in ("kitti", "kitti/training", "kitti/training/label_02", "kitti/training/label_02/0001.txt"):
        result = evaluate_tracking(tmp_path / truth, tmp_path / "found")
        assert result.stats["car/MOTA"] == 1 and list(result.classes["car"]) == ["0001", "COMBINED"]


@pytest.mark.parametrize(
    "text",
    [
        RESULTS.replace("\n", "\r\n"),
        "\ufeff" + RESULTS,
        RESULTS.replace(",", ", "),
        RESULTS.replace(",", " "),
        RESULTS.replace("\n", ",\n"),
        RESULTS.replace("\n", "\n\n  \n"),
        RESULTS.replace(",0.9,-1,-1,-1", ""),
        RESULTS.replace(",4,", ",4.0,"),
    ],
    ids=["Windows", "BOM", "blanks", "white space", "comma at the end", "empty lines", "six columns", "4.0"],
)
def test_forms_that_trackers_write(street: Path, text: str) -> None:
    (street / "found/street.txt").write_text(text, encoding="utf-8")
    assert mota(street / "gt", street / "found") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3,4,10,20", "line 3 has 4 columns, expected 10: 3,4,10,20"),
        ("3,4,10,20,x,60,0.9,-1,-1,-1", "line 3 is no row of numbers"),
        ("3,4,10,20,nan,60,0.9,-1,-1,-1", "line 3: expected a box of four finite numbers"),
        ("3,4,10,20,30,1e999,0.9,-1,-1,-1", "line 3: expected a box of four finite numbers"),
        ("3.5,4,10,20,30,60,0.9,-1,-1,-1", "line 3: expected a whole number as the frame, got 3.5"),
        ("3,nan,10,20,30,60,0.9,-1,-1,-1", "line 3: expected a whole number as the identity, got nan"),
        ("2,4,10,20,30,60,0.9,-1,-1,-1", "line 3: the identity 4 is in frame 1 twice"),
        ("3,-1,10,20,30,60,0.9,-1,-1,-1", "line 3: expected an identity of 0 or more; are these detections"),
        ("0,4,10,20,30,60,0.9,-1,-1,-1", "line 3: frame 0, but frames count from 1"),
        ("6,4,10,20,30,60,0.9,-1,-1,-1", r"line 3: frame 6 is beyond the 5 frames that .*seqinfo\.ini states"),
    ],
)
def test_broken_rows_are_named_with_their_line(street: Path, line: str, message: str) -> None:
    lines = RESULTS.splitlines()
    lines[2] = line
    (street / "found/street.txt").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"found/street\.txt: {message}"):
        mota(street / "gt", street / "found")


def test_empty_lines_do_not_shift_the_numbers_of_lines(street: Path) -> None:
    (street / "found/street.txt").write_text("\n\n" + RESULTS + "\n9,4,10,20,30,60,0.9,-1,-1,-1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 9: frame 9 is beyond"):
        mota(street / "gt", street / "found")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GT.replace("3,1,10", "2,1,10"), r"gt\.txt: line 3: the identity 1 is in frame 1 twice"),
        (GT.replace("1,1,1\n", "1,14,1\n"), r"gt\.txt: line 1: the class 14 is none of 1 … 13"),
        ("1,2,3\n", r"gt\.txt: 3 columns: neither MOTChallenge's"),
        (GT.replace("5,1,10", "7,1,10"), r"gt\.txt: line 5: frame 7 is beyond the 5 frames"),
    ],
)
def test_truth_that_is_wrong(street: Path, text: str, message: str) -> None:
    (street / "gt/street/gt/gt.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        mota(street / "gt", street / "found")


def test_kitti_s_rows_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "label_02").mkdir()
    (tmp_path / "label_02/0001.txt").write_text(KITTI_GT, encoding="utf-8")
    (tmp_path / "evaluate_tracking.seqmap").write_text(
        "0000 empty 000000 000009\n0001 empty 000000 000005\n", encoding="utf-8"
    )
    found = tmp_path / "0001.txt"
    for line, message in (
        (KITTI_ROW.format(frame=5), r"line 6: frame 5 is beyond the 5 frames that .*seqmap states"),
        (KITTI_ROW.format(frame=4), "line 6: the identity 1 is in frame 4 twice"),
        (KITTI_ROW.format(frame=4).replace("Car", "Boat"), "line 6: the type 'boat' is none of car, van"),
        (KITTI_ROW.format(frame=4).replace("90", "nan").replace(" 1 ", " 2 "), "line 6: expected a box of four finite"),
        ("4 2 Car", "line 6 has 3 columns, expected 17"),
    ):
        found.write_text(KITTI_GT + line + "\n", encoding="utf-8")
        with pytest.raises(ValueError, match=rf"/0001\.txt: {message}"):
            evaluate_tracking(tmp_path / "label_02", found)


def test_a_box_that_no_one_asks_for_may_be_twice(tmp_path: Path) -> None:
    """Regions have no identity, and cars and pedestrians are numbered by themselves."""
    region = KITTI_ROW.format(frame=0).replace("Car", "DontCare").replace(" 1 ", " -1 ")
    walker = KITTI_ROW.format(frame=0).replace("Car", "Pedestrian")
    (tmp_path / "label_02").mkdir()
    (tmp_path / "label_02/0001.txt").write_text(f"{KITTI_GT}{region}\n{region}\n{walker}\n", encoding="utf-8")
    (tmp_path / "0001.txt").write_text(f"{KITTI_GT}{walker}\n", encoding="utf-8")
    stats = evaluate_tracking(tmp_path / "label_02", tmp_path / "0001.txt").stats
    assert (stats["car/MOTA"], stats["pedestrian/MOTA"]) == (1, 1)


def test_results_or_truth_that_are_not_there(street: Path) -> None:
    (street / "gt/park/gt").mkdir(parents=True)
    (street / "gt/park/gt/gt.txt").write_text(GT, encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"no results for 1 of 2 sequences, park: expected park\.txt .*there are street"
    ):
        mota(street / "gt", street / "found")
    assert evaluate_tracking(street / "gt", street / "found", sequences=["str*"]).stats["MOTA"] == 1
    with pytest.raises(ValueError, match="sequences has 'square', but the sequences there are park, street"):
        evaluate_tracking(street / "gt", street / "found", sequences=["square"])
    with pytest.raises(ValueError, match=r"one file of results, but .* has 2 sequences"):
        mota(street / "gt", street / "found/street.txt")
    with pytest.raises(ValueError, match="no such file or folder"):
        mota(street / "gt", street / "nothing")
    with pytest.raises(ValueError, match="no such file or folder"):
        mota(street / "nothing", street / "found")
    with pytest.raises(ValueError, match="no sequence here"):
        mota(street, street / "found")
    (street / "found/square.txt").write_text(RESULTS, encoding="utf-8")
    (street / "found/park.txt").write_text("", encoding="utf-8")
    with pytest.warns(UserWarning, match="square have no truth"):
        assert mota(street / "gt", street / "found") == 0.5


def test_a_length_that_nothing_states(street: Path) -> None:
    info = street / "gt/street/seqinfo.ini"
    info.write_text("[Sequence]\nseqLength=0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"seqinfo\.ini: expected a section \[Sequence\] with a seqLength above 0"):
        mota(street / "gt", street / "found")
    info.unlink()
    (street / "found/street.txt").write_text(RESULTS + "9,4,10,20,30,60,0.9,-1,-1,-1\n", encoding="utf-8")
    stats = evaluate_tracking(street / "gt", street / "found").stats
    assert (stats["CLR_FP"], stats["CLR_Frames"]) == (1, 9)


@pytest.mark.parametrize("empty", ["gt", "found", "both"])
def test_empty_files(street: Path, empty: str) -> None:
    for name, path in (("gt", "gt/street/gt/gt.txt"), ("found", "found/street.txt")):
        if empty in (name, "both"):
            (street / path).write_text("\n", encoding="utf-8")
    stats = evaluate_tracking(street / "gt", street / "found").stats
    assert stats["GT_Dets"] == (5 if empty == "found" else 0)
    assert stats["Dets"] == (5 if empty == "gt" else 0)
    assert stats["MOTA"] == 0
