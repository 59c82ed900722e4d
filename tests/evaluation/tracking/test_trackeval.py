"""The text of `MotWriter`, as TrackEval's own reader for MOTChallenge takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from centernet import Detections
from centernet.evaluation.tracking import evaluate_tracking
from centernet.inference import Frame, MotWriter

CLASSES = ("aeroplane", "car", "person")


def test_tracks_of_several_classes_have_the_same_figures(tmp_path: Path) -> None:
    """By default rows have the class -1, which stands for whatever is evaluated; pedestrians alone are known to it."""
    trackeval = pytest.importorskip("trackeval", reason="TrackEval is not installed")
    truth = tmp_path / "truth" / "street"
    (truth / "gt").mkdir(parents=True)
    (truth / "seqinfo.ini").write_text(
        "[Sequence]\nname=street\nframeRate=25\nseqLength=30\nimWidth=640\nimHeight=480\n"
    )
    rows = [f"{i + 1},{k + 1},{40 + 90 * k + 3 * i},50,30,80,1,1,1\n" for i in range(30) for k in range(3)]
    (truth / "gt" / "gt.txt").write_text("".join(rows))
    found = tmp_path / "trackers" / "ours" / "data" / "street.txt"
    random = np.random.default_rng(0)
    with MotWriter(found) as writer:
        for i in range(30):
            boxes = np.array([[39 + 90 * k + 3 * i, 49, 69 + 90 * k + 3 * i, 129] for k in range(3)])
            kept = np.flatnonzero(random.random(3) < 0.8)
            ids = kept + 1 + 10 * (i > 15)
            tracks = Detections(
                boxes[kept] + random.normal(0, 3, (len(kept), 1)), kept, [0.9] * len(kept), track_ids=ids,
                class_names=CLASSES,
            )  # fmt: skip
            writer.write(Frame(np.zeros((480, 640, 3), np.uint8), str(i), None, i), tracks)

    settings = trackeval.datasets.MotChallenge2DBox.get_default_dataset_config() | {
        "GT_FOLDER": str(tmp_path / "truth"), "TRACKERS_FOLDER": str(tmp_path / "trackers"), "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": {"street": 30}, "BENCHMARK": "MOT17", "PRINT_CONFIG": False,
    }  # fmt: skip
    quiet = dict.fromkeys(
        ("PRINT_RESULTS", "PRINT_CONFIG", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES", "TIME_PROGRESS"), False
    )
    options = trackeval.Evaluator.get_default_eval_config() | quiet | {"LOG_ON_ERROR": None, "BREAK_ON_ERROR": True}
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR({"PRINT_CONFIG": False})]
    dataset = trackeval.datasets.MotChallenge2DBox(settings)
    figures = trackeval.Evaluator(options).evaluate([dataset], metrics)[0]
    theirs = figures["MotChallenge2DBox"]["ours"]["COMBINED_SEQ"]["pedestrian"]
    ours = evaluate_tracking(truth / "gt" / "gt.txt", found).stats
    assert 0.2 < ours["HOTA"] < 0.95
    assert ours["HOTA"] == pytest.approx(theirs["HOTA"]["HOTA"].mean(), abs=1e-9)
    assert ours["MOTA"] == pytest.approx(theirs["CLEAR"]["MOTA"], abs=1e-9)
