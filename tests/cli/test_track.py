"""`centernet track`: files written, words said, exit codes, interruptions, with a stand-in for the network."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.cli.main import main
from centernet.images import Preprocessing, read_image
from centernet.inference import torch_runtime, tracking as inference_tracking
from centernet.tracking import PRESETS, TrackerOptions

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, find_bright: Any) -> Run:
    """Run the command in an empty folder, the model file being a stand-in."""
    find_bright.preprocessing = Preprocessing((120, 160))
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: find_bright("cat", "dog"))
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").write_bytes(b"weights")

    def call(*arguments: str) -> int:
        output = () if "--output" in arguments else ("--output", "tracks")  # several runs of a test
        return main(["track", *arguments, "--model", "best.ckpt", *output])

    return call


def scene(left: int) -> np.ndarray:
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:90, left : left + 40] = 255
    return image


def save_frames(folder: str, count: int = 12) -> Path:
    path = Path(folder)
    path.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(path / f"{number + 1:06d}.png"), scene(10 + 4 * number))
    return path


def save_video(path: str, count: int = 24, rate: float = 12.5) -> Path:
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), rate, (160, 120))
    for number in range(count):
        writer.write(scene(10 + 4 * number))
    writer.release()
    return Path(path)


def rows(path: str = "tracks/tracks.txt") -> list[list[float]]:
    return [[float(value) for value in line.split(",")] for line in Path(path).read_text().splitlines()]


def count_frames(path: Path) -> tuple[int, float]:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count, capture.get(cv2.CAP_PROP_FPS)


def test_a_video_in_every_format(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save_video("clip.avi")
    assert run("clip.avi", "--format", "mot,json,video,pictures") == 0
    found = rows()
    assert [row[0] for row in found] == list(range(1, 25)) and {row[1] for row in found} == {1}
    np.testing.assert_allclose([row[2] for row in found], [11 + 4 * i for i in range(24)], atol=5)
    assert {tuple(row[7:]) for row in found} == {(-1, -1, -1)}, "as TrackEval takes it"

    content = json.loads(Path("tracks/tracks.json").read_text())
    assert [image["height"] for image in content["images"]] == [120] * 24
    assert {(a["track_id"], a["category_id"]) for a in content["annotations"]} == {(1, 2)}
    assert content["categories"][1]["name"] == "dog"

    (video,) = (path for path in Path("tracks").glob("tracks.*") if path.suffix in (".mp4", ".webm"))
    count, rate = count_frames(video)
    assert count == 24 and rate == pytest.approx(12.5, abs=0.01), "as fast as the video that was given"
    assert read_image("tracks/images/clip_000023.jpg").shape == (120, 160, 3)
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == "clip: 12.5 frames a second, as the video states"
    assert output.out.splitlines()[1] == "1 identity in 24 frames"
    assert output.out.splitlines()[-1].startswith("wrote tracks/tracks.txt (24 rows of 24 frames)")
    assert output.err == ""


def test_the_frame_rate_and_where_it_is_from(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save_video("clip.avi", 6)
    save_frames("frames", 4)
    save_frames("TUD/img1", 4)
    Path("TUD/seqinfo.ini").write_text("[Sequence]\nimDir=img1\nframeRate=7\nseqLength=4\nimWidth=160\nimHeight=120\n")
    assert run("clip.avi", "frames", "TUD", "--format", "mot", "--every", "2") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "clip: 12.5 frames a second, as the video states, one of 2 is read",
        "frames: 30 frames a second, assumed: --frame-rate N says another, one of 2 is read",
        "TUD: 7 frames a second, as seqinfo.ini states, one of 2 is read",
    ]
    assert run("clip.avi", "--format", "mot", "--frame-rate", "50") == 0
    assert capsys.readouterr().out.startswith("clip: 50 frames a second, as --frame-rate says\n")


def test_the_sound_of_a_video_is_kept_unless_told_otherwise(
    run: Run, capsys: pytest.CaptureFixture[str], clip_with_sound: Callable[..., None]
) -> None:
    av: Any = pytest.importorskip("av", reason="needs PyAV, which reads and writes sound")
    images = [scene(10 + 4 * number) for number in range(10)]
    clip_with_sound("clip.mkv", images, "mjpeg", "flac", "yuvj420p")

    def streams() -> list[str]:
        with av.open("tracks/tracks.mp4") as container:
            return [stream.type for stream in container.streams]

    assert run("clip.mkv", "--format", "video") == 0
    assert sorted(streams()) == ["audio", "video"]
    assert run("clip.mkv", "--format", "video", "--no-audio") == 0
    assert streams() == ["video"]
    assert run("clip.mkv", "--format", "video", "--frame-rate", "25") == 0
    assert sorted(streams()) == ["audio", "video"] and "without the sound" not in capsys.readouterr().out
    assert run("clip.mkv", "--format", "video", "--frame-rate", "10") == 0
    assert streams() == ["video"] and "without the sound, which would not fit" in capsys.readouterr().out


def test_several_sources_begin_anew_and_have_files_of_their_own(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save_frames("frames", 5)
    for folder in ("one", "other"):
        Path(folder).mkdir()
        save_video(f"{folder}/clip.avi", 6)
    save_video("clips.avi", 7)
    assert run("frames", "one/clip.avi", "other", "clips.avi", "--format", "mot,json,video,images") == 0
    said = capsys.readouterr().out
    assert "4 identities in 24 frames" in said
    for name, frames in (("frames", 5), ("one_clip", 6), ("other_clip", 6), ("clips", 7)):
        found = rows(f"tracks/{name}.txt")
        assert [row[0] for row in found] == list(range(1, frames + 1)) and {row[1] for row in found} == {1}, name
        assert len(json.loads(Path(f"tracks/{name}.json").read_text())["images"]) == frames
        assert len(list(Path(f"tracks/images/{name}").iterdir())) == frames
        (video,) = (path for path in Path("tracks").glob(f"{name}.*") if path.suffix in (".mp4", ".webm"))
        assert count_frames(video)[0] == frames


def test_a_folder_of_videos_and_a_video_that_is_none(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("clips").mkdir()
    for number in (10, 9):
        save_video(f"clips/{number}.avi", number)
    Path("clips/notes.txt").write_text("none")
    assert run("clips", "--format", "mot") == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:2]] == ["9", "10"], "natural order"
    assert [len(rows(f"tracks/{number}.txt")) for number in (9, 10)] == [9, 10]
    Path("clips/8.avi").write_bytes(b"none at all")
    assert run("clips", "--format", "mot", "--output", "again") == 1
    output = capsys.readouterr()
    assert "left out: clips/8.avi" in output.err and "2 identities in 19 frames" in output.out
    assert sorted(path.name for path in Path("again").iterdir()) == ["10.txt", "9.txt"]
    Path("single").mkdir()
    save_video("single/a.avi", 3)
    assert run("single", "--format", "mot", "--output", "single_out") == 0
    assert [path.name for path in Path("single_out").iterdir()] == ["a.txt"], "as where there are several"


@pytest.mark.parametrize("layout", ["img1", "flat", "seqinfo"])
def test_a_folder_of_sequences(run: Run, capsys: pytest.CaptureFixture[str], layout: str) -> None:
    for name in ("MOT-02", "MOT-10"):
        save_frames(f"train/{name}" + ("" if layout == "flat" else "/img1"), 4)
        if layout == "seqinfo":
            text = "[Sequence]\nimDir=img1\nframeRate=7\nseqLength=4\nimWidth=160\nimHeight=120\n"
            Path(f"train/{name}/seqinfo.ini").write_text(text)
    Path("train/empty").mkdir()
    if layout == "seqinfo":
        assert run("train", "--format", "mot", "--output", "plain") == 0, "nothing else can be meant"
        assert sorted(path.name for path in Path("plain").iterdir()) == ["MOT-02.txt", "MOT-10.txt"]
    else:
        assert run("train", "--format", "mot") == 1
        assert "2 of its folders have images: --sequences" in capsys.readouterr().err
    assert run("--sequences", "train", "--format", "mot") == 0
    assert sorted(path.name for path in Path("tracks").iterdir()) == ["MOT-02.txt", "MOT-10.txt"]
    assert [row[:2] for row in rows("tracks/MOT-10.txt")] == [[i, 1] for i in range(1, 5)]
    assert run("train/empty", "--sequences") == 1
    assert "none of its folders has images" in capsys.readouterr().err


def test_one_frame_of_so_many(run: Run) -> None:
    save_video("clip.avi", 24, rate=12.5)
    assert run("clip.avi", "--every", "5") == 0
    found = rows()
    assert [row[0] for row in found] == [1, 6, 11, 16, 21] and {row[1] for row in found} == {1}
    np.testing.assert_allclose([row[2] for row in found], [11 + 4 * i for i in (0, 5, 10, 15, 20)], atol=5)
    (video,) = (path for path in Path("tracks").glob("tracks.*") if path.suffix in (".mp4", ".webm"))
    assert count_frames(video) == (5, pytest.approx(2.5, abs=0.01)), "as long as the clip"


def test_a_camera_is_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save_video("clip.avi", 3)
    assert run("clip.avi", "0") == 1
    assert "give it alone" in capsys.readouterr().err and not Path("tracks").exists()


def test_classes_that_the_text_does_not_tell_are_said(
    run: Run, find_bright: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = find_bright.__call__

    def two(self: Any, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        found = real(self, images, num_detections)
        found["bboxes"][:, 1] = 100, 5, 150, 20
        found["scores"][:, 1], found["labels"][:, 1] = 0.8, 0
        return found

    monkeypatch.setattr(find_bright, "__call__", two)
    save_frames("frames", 6)
    assert run("frames", "--format", "mot") == 0
    assert "mot has no classes, and these were tracked: cat, dog" in capsys.readouterr().out
    assert run("frames", "--format", "mot", "--class-column") == 0 and {row[7] for row in rows()} == {1, 2}
    assert "mot has no classes" not in capsys.readouterr().out


def test_a_folder_of_frames_writes_text_and_video(run: Run) -> None:
    save_frames("frames")
    assert run("frames", "--frame-rate", "5") == 0
    written = sorted(path.name for path in Path("tracks").iterdir())
    assert written in (["tracks.mp4", "tracks.txt"], ["tracks.txt", "tracks.webm"]) and len(rows()) == 12


def test_a_sequence_of_motchallenge_says_its_rate_and_folder(run: Run) -> None:
    save_frames("TUD/img1")
    Path("TUD/seqinfo.ini").write_text("[Sequence]\nimDir=img1\nframeRate=7\nseqLength=12\nimWidth=160\nimHeight=120\n")
    for source in ("TUD", "TUD/img1"):
        assert run(source, "--output", source.replace("/", "_")) == 0
        (video,) = (path for path in Path(source.replace("/", "_")).glob("tracks.*") if path.suffix != ".txt")
        assert count_frames(video) == (12, pytest.approx(7))


def test_a_video_that_breaks_off_keeps_what_was_tracked(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_video("clip.avi", 40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    assert run("clip.avi", "--format", "mot,json,video") == 1
    output = capsys.readouterr()
    assert "breaks off after" in output.err and "Traceback" not in output.err
    there = int(output.err.split("breaks off after ")[1].split()[0])
    assert 20 <= there < 40 and [row[0] for row in rows()] == list(range(1, there + 1))
    assert len(json.loads(Path("tracks/tracks.json").read_text())["images"]) == there
    (video,) = (p for p in Path("tracks").glob("tracks.*") if p.suffix in (".mp4", ".webm"))
    assert count_frames(video)[0] == there
    assert output.out.splitlines()[-1].startswith("wrote")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (RuntimeError, 1)])
def test_an_interruption_or_error_keeps_what_was_tracked(
    run: Run,
    find_bright: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type,
    code: int,
) -> None:
    monkeypatch.setattr(find_bright, "until", 3)
    monkeypatch.setattr(find_bright, "then", error)
    save_frames("frames", 12)
    assert run("frames", "--batch-size", "2", "--format", "mot,json,video") == code
    assert [row[0] for row in rows()] == [1, 2, 3, 4, 5, 6]
    assert len(json.loads(Path("tracks/tracks.json").read_text())["images"]) == 6
    (video,) = (p for p in Path("tracks").glob("tracks.*") if p.suffix in (".mp4", ".webm"))
    assert count_frames(video)[0] == 6
    assert capsys.readouterr().out.splitlines()[1] == "1 identity in 6 frames"


def test_a_camera_until_it_is_stopped(
    run: Run, find_bright: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Camera:
        def __init__(self, number: int) -> None:
            assert number == 0
            self.shown = 0

        def isOpened(self) -> bool:
            return True

        def get(self, key: int) -> float:
            return 0.0

        def read(self) -> tuple[bool, np.ndarray]:
            self.shown += 1
            time.sleep(0.02)
            return True, scene(5)

        def release(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(find_bright, "until", 5)
    assert run("0", "--format", "mot", "--batch-size", "1") == 0, "Ctrl-C is how one stops a camera"
    numbers = [row[0] for row in rows()]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1, (
        "those of the camera's images, of which some were skipped"
    )
    assert capsys.readouterr().out.splitlines()[-1].startswith("wrote tracks/tracks.txt (5 rows of 5 frames)")


def test_unreadable_frames_are_named_and_time_goes_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_frames("frames")
    (folder / "000005.png").write_text("no picture")
    assert run("frames", "--format", "mot", "--preset", "bytetrack") == 1
    output = capsys.readouterr()
    assert "left out: frames/000005.png" in output.err and "1 left out" in output.out
    assert [row[0] for row in rows()] == [i for i in range(1, 13) if i != 5], "frames keep their numbers"
    assert {row[1] for row in rows()} == {1}


def test_the_model_s_own_tracker_is_used_unless_told_otherwise(
    run: Run, find_bright: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_bright, "tracker", {"preset": "bytetrack", "new_score": 0.9}, raising=False)
    save_frames("frames")
    assert run("frames", "--format", "mot") == 0 and rows() == [], "scores are .8"
    assert run("frames", "--format", "mot", "--preset", "bytetrack") == 0 and len(rows()) == 12
    assert run("frames", "--format", "mot", "--score-threshold", "0.5") == 0 and len(rows()) == 12


@pytest.mark.parametrize(
    "own", [{"presett": "default"}, {"preset": "byte"}, {"high_score": "high"}, {"frame_rate": 5}, {"preset": None}]
)
def test_settings_of_a_model_that_no_tracker_takes_are_named_with_it(
    run: Run, find_bright: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own: dict[str, Any]
) -> None:
    monkeypatch.setattr(find_bright, "tracker", own, raising=False)
    save_frames("frames")
    assert run("frames", "--format", "mot") == 1 and not Path("tracks").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: best.ckpt: ") and next(iter(own)) in error and "--preset" in error
    assert run("frames", "--format", "mot", "--preset", "sort") == 0 and len(rows()) == 12


def test_classes_and_the_score_threshold(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    save_frames("frames")
    assert run("frames", "--format", "mot", "--classes", "cat") == 0 and rows() == []
    assert run("frames", "--format", "mot", "--classes", "dog,cat") == 0 and {row[7] for row in rows()} == {-1}
    assert run("frames", "--format", "mot", "--class-column") == 0 and {row[7] for row in rows()} == {2}
    assert run("frames", "--format", "mot", "--classes", "dog") == 0 and {row[7] for row in rows()} == {-1}
    assert run("frames", "--format", "mot", "--score-threshold", "0.85") == 0 and rows() == []
    for preset in ("sort", "fairmot", "bytetrack", "default"):
        assert run("frames", "--format", "mot", "--preset", preset, "--score-threshold", "0.05") == 0
        assert len(rows()) == 12, preset
    capsys.readouterr()
    assert run("frames", "--classes", "dgo") == 1
    assert "did you mean 'dog'?" in capsys.readouterr().err
    assert run("frames", "--preset", "byte") == 1
    assert "bytetrack" in capsys.readouterr().err


def test_every_option_of_the_tracker_is_one_of_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    real = inference_tracking.Tracker
    monkeypatch.setattr(inference_tracking, "Tracker", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    save_frames("frames")
    changes = {"confirm_hits": 3, "lost_seconds": 0.5, "motion": "xyah", "low_score": None, "fuse_scores": False}
    arguments = [*("--confirm-hits", "3", "--lost-seconds", ".5", "--motion", "xyah", "--low-score", "none")]
    assert run("frames", "--format", "mot", "--preset", "bytetrack", *arguments, "--no-fuse-scores") == 0
    assert made[-1].options == replace(PRESETS["bytetrack"], **changes)
    assert run("frames", "--format", "mot", "--high-score", "high") == 2
    assert run("frames", "--format", "mot", "--high-score", "7", "--low-score", "8") == 1
    assert "low_score: expected less than high_score" in capsys.readouterr().err
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in fields(TrackerOptions):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "default: the preset's" in text and "default: True" not in text


class TestDetections:
    """Without a network."""

    def det(self, frames: range = range(1, 21), path: str = "TUD/det/det.txt") -> Path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{i},-1,{1 + 3 * i},31,40,60,0.9,-1,-1,-1\n" for i in frames]
        lines += [f"{i},-1,{101 - i},11,20,30,0.75,-1,-1,-1\n" for i in frames]
        Path(path).write_text("".join(lines))
        return Path(path)

    def test_they_are_tracked(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch_runtime, "load_model", None)  # no network is read
        self.det()
        assert run("--detections", "TUD/det/det.txt", "--format", "mot,json") == 0
        found = rows()
        assert len(found) == 40 and {row[1] for row in found} == {1, 2}
        one = [row for row in found if row[6] > 0.8]
        assert len({row[1] for row in one}) == 1 and [row[0] for row in one] == list(range(1, 21))
        np.testing.assert_allclose([row[2:6] for row in one], [[1 + 3 * i, 31, 40, 60] for i in range(1, 21)], atol=3)
        images = json.loads(Path("tracks/tracks.json").read_text())["images"]
        assert (images[0]["height"], images[0]["width"]) == (90, 119), "the least that holds all boxes"

    def test_seqinfo_says_size_length_and_rate(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        rates = []
        real = inference_tracking.Tracker
        monkeypatch.setattr(
            inference_tracking, "Tracker", lambda *a, **k: rates.append(k["frame_rate"]) or real(*a, **k)
        )
        self.det(range(3, 6))
        Path("TUD/seqinfo.ini").write_text("[Sequence]\nframeRate=25\nseqLength=30\nimWidth=640\nimHeight=480\n")
        assert run("--detections", "TUD/det/det.txt", "--format", "json", "--classes", "car") == 0
        content = json.loads(Path("tracks/tracks.json").read_text())
        assert len(content["images"]) == 30 and content["images"][7]["width"] == 640 and set(rates) == {25}
        assert content["categories"] == [{"id": 1, "name": "car"}]

    @pytest.mark.filterwarnings("default::UserWarning")
    def test_they_are_drawn_on_the_frames_that_are_given(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        self.det()
        save_frames("TUD/img1", 12)
        assert run("TUD/img1", "--detections", "TUD/det/det.txt", "--format", "mot,pictures") == 0
        assert "detections of 8 frames, 13 to 20, are beyond the 12 frames" in capsys.readouterr().err
        assert len(list(Path("tracks/images").iterdir())) == 12 and len(rows()) == 24

    def test_a_gap_of_ten_thousand_frames(self, run: Run) -> None:
        path = self.det(range(1, 4))
        with path.open("a") as file:
            file.writelines(f"{i},-1,50,31,40,60,0.9,-1,-1,-1\n" for i in range(10_004, 10_008))
        assert run("--detections", str(path)) == 0
        late = {row[1] for row in rows() if row[0] > 10_000}
        assert len(late) == 1 and not late & {row[1] for row in rows() if row[0] < 10}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("0,-1,1,1,5,5,0.9\n", "frame 0"),
            ("99999999999,-1,1,1,5,5,0.9\n", "frame 99999999999"),
        ],
    )
    def test_frame_numbers_that_cannot_be(
        self, run: Run, capsys: pytest.CaptureFixture[str], text: str, says: str
    ) -> None:
        Path("det.txt").write_text("1,-1,1,1,5,5,0.9\n" + text)
        assert run("--detections", "det.txt") == 1
        assert says in capsys.readouterr().err and not Path("tracks").exists()

    def test_an_empty_file_gives_an_empty_result(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        Path("det.txt").write_text("")
        assert run("--detections", "det.txt") == 0
        assert "0 identities in 0 frames" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "wrong",
        [
            [],
            ["--detections", "det.txt", "--format", "video"],
            ["--detections", "det.txt", "--classes", "a,b"],
            ["frames", "--format", "xml"],
            ["frames", "--frame-rate", "0"],
            ["frames", "--every", "0"],
            ["--detections", "det.txt", "--every", "2"],
            ["frames", "--batch-size", "0"],
            ["frames", "--classes", ","],
        ],
    )
    def test_wrong_usage(self, run: Run, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
        assert run(*wrong) == 2
        assert "error" in capsys.readouterr().err

    def test_a_file_that_is_not_there(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--detections", "nowhere.txt") == 1
        assert "nowhere.txt" in capsys.readouterr().err


def test_it_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracking given detections, as a program without torch does it."""
    import subprocess
    import sys

    (tmp_path / "det.txt").write_text("".join(f"{i},-1,{i},1,50,50,0.9\n" for i in range(1, 9)))
    code = "import sys; sys.modules['torch'] = None; sys.modules['lightning'] = None\n"
    code += "from centernet.cli.main import main; sys.exit(main(['track', '--detections', 'det.txt']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "tracks" / "tracks.txt").read_text().splitlines()) == 8
