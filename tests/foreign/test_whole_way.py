"""One network of each family all the way: converted, in three runtimes, by the commands that people run.

Weights by rule find noise: that the maps are equal, and that each command goes through, is what this shows. The figures
are printed (`pytest -m slow -s`).
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from centernet import CenterNet, Detector
from centernet.cli.main import main
from centernet.export import ExportOptions, export, onnx
from centernet.export.comparison import difference, trial_images
from centernet.inference.exported import open_session
from centernet.network import Network
from tests.foreign import published

openvino = pytest.importorskip("openvino")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*not supported by the model summary.*"),
]

FAMILIES = {
    "mmdetection": "mmdet_centernet_r18_dcnv2",
    "TensorFlow": "mobilenetv2fpn_kpts",
    "TTFNet": "ttfnet_r18",
    "better-plus": "better_plus_r18",
    "Simple": "simple_centernet_r18",
    "original": "centernet_dla_34",
    "FairMOT": "fairmot_dla_34",
}
SIZES = ((256, 256), (192, 320), (149, 230))
COUNT = 100
STEPS, FRAMES = 10, 14
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each family, converted by the command."""
    place, name = tmp_path_factory.mktemp("family"), FAMILIES[request.param]
    source = shared / f"data/oracles/tensorflow/checkpoints/{name}"
    if request.param != "TensorFlow":
        source = place / "weights.pth"
        torch.save({"state_dict": published.state_dict(shared, name), "epoch": 140}, source)
    assert main(["convert", str(source), "--output", str(place / request.param)]) == 0
    return place / request.param


def calm(network: Network) -> Network:
    """Make the last layer of the heatmap smaller: weights by rule give logits in the hundreds for photographs, whose
    scores are all 1, and then chance decides which are the best."""
    images = trial_images(1, SIZES[0]).permute(0, 3, 1, 2)
    head: Any = network.heads[network.finder]
    with torch.no_grad():
        logits = network(network.normalize(images))[network.finder]
        head.layers[-1].weight.mul_(0.5 / logits.std())
    return network


def places(network: Network, heatmap: np.ndarray) -> list[list[tuple[int, int]]]:
    """Class and cell of the peaks of each image, best first, as they are decoded."""
    find: Any = network.heads[network.finder]
    peaks = find.find_peaks(torch.from_numpy(heatmap), COUNT)
    cells = zip(peaks.labels.tolist(), peaks.cells.tolist(), strict=True)
    return [list(zip(labels, at, strict=True)) for labels, at in cells]


def eager(network: Network, images: np.ndarray) -> Arrays:
    with torch.inference_mode():
        encoded = network(network.normalize(torch.from_numpy(images).permute(0, 3, 1, 2)))
    maps = {name: value.numpy() for name, value in network.named_maps(encoded).items()}
    return maps | decoded(network, maps, (images.shape[1], images.shape[2]))


def decoded(network: Network, maps: Arrays, size: tuple[int, int]) -> Arrays:
    """Detections of raw maps; boxes end where the images do, as those of files."""
    encoded = network.encoded_of({name: torch.from_numpy(value) for name, value in maps.items()})
    with torch.inference_mode():
        found = network.decode_detections(encoded, COUNT)
    bboxes = found["bboxes"].numpy().clip(0, [*size[::-1], *size[::-1]])
    return {"bboxes": bboxes, "labels": found["labels"].numpy(), "scores": found["scores"].numpy()}


def test_maps_and_boxes_are_equal_in_every_runtime(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[Any] = []
    write = onnx.graph_of

    def once(prepared: Any, **_: Any) -> Any:
        """Without a letterbox both formats begin with the same graph, and to make one takes the most time here."""
        graphs[:] = graphs or [write(prepared)]
        return copy.deepcopy(graphs[0])

    monkeypatch.setattr(onnx, "graph_of", once)
    network = calm(CenterNet.from_pretrained(folder).network)
    network.preprocessing = replace(network.preprocessing, size=SIZES[0])  # of the trial images of an export
    options = ExportOptions(raw_maps=True, num_detections=COUNT)
    files = [export(network, tmp_path / f"model{suffix}", options) for suffix in (".onnx", ".xml")]
    session = open_session(files[0])
    names = [output.name for output in session.get_outputs()]
    compiled = openvino.Core().compile_model(files[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    runtimes: dict[str, Callable[[np.ndarray], Arrays]] = {
        "ONNX": lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True)),
        "OpenVINO": lambda images: {name: compiled([images])[name] for name in names},
    }
    for size in SIZES:
        images = trial_images(2, size).numpy()
        expected = eager(network, images)
        cells = places(network, expected[network.finder])
        for runtime, run in runtimes.items():
            got = run(images)
            gaps = {name: apart(got[name], expected[name]) for name in network.map_names}
            own = decoded(network, {name: got[name] for name in network.map_names}, size)
            theirs = places(network, got[network.finder])
            matched, largest = 0, 0.0
            for i, (mine, other) in enumerate(zip(cells, theirs, strict=True)):
                rows = [(mine.index(place), row) for row, place in enumerate(other) if place in mine]
                boxes = np.abs([expected["bboxes"][i][a] - own["bboxes"][i][b] for a, b in rows])
                matched, largest = matched + len(rows), max(largest, float(boxes.max()))
            total = sum(map(len, cells))
            graph = difference(own, got)
            print(
                f"{folder.name}, {runtime}, {size[0]}×{size[1]}: maps differ by {max(gaps.values()):.1e} of their "
                f"deviation; {matched} of {total} boxes matched by class and cell, {largest:.1e} px; the decode in the "
                f"graph: {graph}"
            )
            assert max(gaps.values()) <= 1e-3, gaps
            # At the lower end of the list, rounding decides which of two equal scores is kept.
            assert matched >= total - 2 * len(images) and largest <= 0.05
            assert graph.boxes <= 0.05 and graph.scores <= 1e-4 and graph.unmatched <= 2


def apart(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / expected.std())


def test_detect(folder: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = sorted((shared / "data/coco/images").glob("*.jpg"))[0]
    arguments = ["detect", str(photo), "--model", str(folder), "--score-threshold", "0"]
    assert main([*arguments, "--output", str(tmp_path / "found")]) == 0
    content = json.loads((tmp_path / "found/detections.json").read_text())
    assert content["images"][0]["file_name"] == photo.name and len(content["annotations"]) >= 50
    assert (tmp_path / f"found/images/{photo.name}").is_file()


def coco_data(shared: Path, folder: Path) -> list[str]:
    """The data of a short training: ten photographs to train on, two to validate on."""
    content = json.loads((shared / "data/coco/annotations.json").read_text())
    with_boxes = {a["image_id"] for a in content["annotations"]}
    images = [image for image in content["images"] if image["id"] in with_boxes]
    for name, part in (("train", images[:STEPS]), ("val", images[STEPS : STEPS + 2])):
        ids = {image["id"] for image in part}
        kept = [a for a in content["annotations"] if a["image_id"] in ids]
        path = folder / f"{name}.json"
        path.write_text(json.dumps({**content, "images": part, "annotations": kept}))
    splits = ["--splits", f"train={folder}/train.json", f"val={folder}/val.json"]
    return [str(folder / "train.json"), "--images", str(shared / "data/coco/images"), *splits]


def mot_data(shared: Path, folder: Path) -> list[str]:
    """The first frames of a video with identities, of which a part is set aside to validate on."""
    place = folder / "video/train/TUD-Campus"
    shutil.copytree(shared / "data/mot/TUD-Campus", place)
    for i, image in enumerate(sorted((place / "img1").iterdir())):
        if i >= FRAMES:
            image.unlink()
    lines = (place / "gt/gt.txt").read_text().splitlines()
    (place / "gt/gt.txt").write_text("".join(f"{x}\n" for x in lines if int(x.split(",")[0]) <= FRAMES))
    info = (place / "seqinfo.ini").read_text()
    (place / "seqinfo.ini").write_text(info.replace("seqLength=71", f"seqLength={FRAMES}"))
    return [str(folder / "video")]


def test_finetune(folder: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (mot_data if folder.name == "FairMOT" else coco_data)(shared, tmp_path)
    arguments = ["finetune", *data, "--model", str(folder), "--size", "128", "--batch-size", "1", "--workers", "0"]
    assert main([*arguments, "--epochs", "1", "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    checkpoint = Path(said.strip().rsplit("--model ", 1)[1])
    trained, start = CenterNet.load_from_checkpoint(checkpoint), CenterNet.from_pretrained(folder)
    steps = torch.load(checkpoint, weights_only=True)["global_step"]
    assert steps >= STEPS
    before, after = start.network.neck.state_dict(), trained.network.neck.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(value, after[name]) for name, value in before.items() if value.is_floating_point())
    written = yaml.safe_load((tmp_path / "out/finetune.yaml").read_text())["model"]["preprocessing"]
    assert written["resize"] == start.preprocessing.resize and written["channels"] == start.preprocessing.channels


def test_fairmot_tracks(shared: Path, tmp_path: Path) -> None:
    torch.save(published.state_dict(shared, "fairmot_dla_34"), tmp_path / "weights.pth")
    assert main(["convert", str(tmp_path / "weights.pth"), "--output", str(tmp_path / "model")]) == 0
    frames = tmp_path / "frames"
    frames.mkdir()
    for path in sorted((shared / "data/mot/TUD-Campus/img1").iterdir())[:3]:
        shutil.copy(path, frames)
    model, output = tmp_path / "model", tmp_path / "tracks"
    assert main(["track", str(frames), "--format", "json", "--model", str(model), "--output", str(output)]) == 0
    assert len(json.loads((tmp_path / "tracks/tracks.json").read_text())["images"]) == 3
    network = calm(CenterNet.from_pretrained(tmp_path / "model").network)
    network.preprocessing = replace(network.preprocessing, size=(256, 448))  # less than its own, for time
    path = export(network, tmp_path / "fairmot.onnx", ExportOptions(letterbox=True))
    found, expected = (Detector(m, score_threshold=0.0)(next(frames.iterdir())) for m in (path, network))
    assert found.embeddings is not None and expected.embeddings is not None
    assert found.embeddings.shape == (len(found), 128)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-4)
    both = (np.abs(found.scores[:20] - expected.scores[:20]) < 1e-4).mean()
    assert both > 0.9 and np.abs(found.embeddings[:20] - expected.embeddings[:20]).max(axis=1).mean() < 0.02
