"""Makes the files under `data`, with the code of commit 087a334. Kept to say where they are from; runs on that commit.

    python tests/legacy/make.py            # all
    python tests/legacy/make.py tiny       # the small models alone: checkpoints, folders, exports

`data/user.yaml` is written by hand.

A checkpoint of each file in `configs` is written by one real step of `centernet fit`. Its own pictures are not needed:
the data section is replaced by two drawn pictures with the configuration's classes, training is at 64×64, and
pretrained weights are not fetched (what is stored says `pretrained: true` again). What is stored of the checkpoint is
everything but the tensors, of which names, shapes and types are kept. The tensors are made by `tensor` of
`test_artefacts.py`; a seed is chosen whose scores are no near ties and hardly change in double precision.

The small models are a ResNet of two stages, frozen, with a pyramid and heads of 8 channels. Most of the backbone's
weights are 0 and the others are one of few values, so that xz makes files of some ten kB of them.
"""

from __future__ import annotations

import copy
import io
import json
import lzma
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from test_artefacts import (
    DATA,
    TOP,
    by_detector,
    by_hand,
    checkpoint,
    configurations,
    embeddings,
    opened,
    pictures,
    rows,
    street,
    tensor,
)

from centernet import CenterNet, build_centernet
from centernet.cli import fit
from centernet.export import (
    export_onnx,
    export_openvino,
    export_pt2,
    export_torchscript,
    quantize_onnx,
)

ROOT = Path(__file__).resolve().parents[2]

TRAINER = {
    "max_epochs": 1,
    "max_steps": 1,
    "limit_val_batches": 0,
    "accelerator": "cpu",
    "precision": "32-true",
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}

DETECTOR: dict[str, Any] = {
    "seed_everything": 0,
    "model": {
        "num_classes": 6,
        "backbone": {
            "class_path": "ResNet",
            "init_args": {"name": "resnet18", "num_stages": 2, "frozen_stages": 3, "frozen_norms": True},
        },
        "neck": {"class_path": "FPN", "init_args": {"width": 8, "fusion": "weighted"}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 8, "norm": True, "quality": 1.0}},
        },
        "nms_iou": 0.7,
        "preprocessing": {"size": [96, 128]},
    },
    "data": {
        "train": {"class_path": "Synthetic", "init_args": {"num_images": 8, "size": [96, 128], "seed": 0}},
        "val": {"class_path": "Synthetic", "init_args": {"num_images": 2, "size": [96, 128], "seed": 1}},
        "augmentation": {"class_path": "Mosaic", "init_args": {"mosaic": 0.5, "close": 0.0}},
        "sampling": {"class_path": "RepeatFactors", "init_args": {"threshold": 0.1}},
        "batch_size": 4,
        "num_workers": 0,
    },
    "optimization": {"lr": 1e-4},
    "ema_decay": 0.9,
    "pictures": {"every_n_epochs": 1},
    "start_from": "detector/pretrained",
    "trainer": {
        "max_epochs": 1,
        "accelerator": "cpu",
        "precision": "32-true",
        "num_sanity_val_steps": 0,
        "enable_model_summary": False,
    },
}

TRACKER: dict[str, Any] = {
    **DETECTOR,
    "model": {
        "class_names": ["object"],
        "backbone": DETECTOR["model"]["backbone"],
        "neck": {"class_path": "FPN", "init_args": {"width": 8}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 8}},
            "embedding": {"class_path": "EmbeddingHead", "init_args": {"dim": 8, "width": 8}},
        },
        "loss_weighting": {
            "class_path": "UncertaintyWeighting",
            "init_args": {
                "tasks": {"detection": ["heatmap", "box"], "identity": ["embedding"]},
                "start": {"detection": -1.85, "identity": -1.05},
            },
        },
        "tracker": {"preset": "default", "high_score": 0.45},
        "preprocessing": {"size": [96, 128]},
    },
    "data": {
        "train": {
            "class_path": "SyntheticSequences",
            "init_args": {"num_sequences": 2, "length": 4, "size": [96, 128], "seed": 0},
        },
        "val": {
            "class_path": "SyntheticSequences",
            "init_args": {"num_sequences": 1, "length": 3, "size": [96, 128], "seed": 1},
        },
        "augmentation": {"class_path": "Augment", "init_args": {"scale": [0.8, 1.2]}},
        "batch_size": 4,
        "num_workers": 0,
    },
    "start_from": "tracker/pretrained",
}

# ------------------------------------------------------------------ outputs


@dataclass
class Expected:
    """Outputs by name, as they are stored."""

    arrays: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def add(self, name: str, found: Mapping[str, NDArray[Any]]) -> None:
        self.arrays[name] = rows(found)
        vectors = embeddings(found)
        if vectors is not None:
            self.arrays[f"{name} embeddings"] = vectors


def least_gap(found: Mapping[str, NDArray[Any]]) -> float:
    """The smallest difference of scores that follow each other: the order must not be a matter of rounding."""
    scores = rows(found)[:, 5].astype(np.float64)
    assert len(scores) >= 5 and np.isfinite(found["bboxes"]).all()
    return float((scores[:-1] - scores[1:]).min())


@torch.inference_mode()
def calibrate(model: CenterNet, inputs: list[NDArray[np.float32]]) -> dict[str, Any]:
    """Factor and shifts of the last layers that spread the scores of each input's best cells, and make boxes of
    some ten pixels."""
    maps = [model(torch.from_numpy(array)) for array in inputs]
    last: dict[str, Any] = {}
    for head, module in model.heads.items():
        convolutions = [
            (name, layer)
            for name, layer in module.named_modules()
            if isinstance(layer, torch.nn.Conv2d) and not any(part in name for part in ("classifier",))
        ]
        ends = [name for name, layer in convolutions if type(layer).__name__ == "OutputConv"]
        if head == "embedding":
            continue
        channel = 0
        for end in ends:
            layer = dict(convolutions)[end]
            values = torch.cat([m[head][0, channel : channel + layer.out_channels].flatten(1) for m in maps], dim=1)
            channel += layer.out_channels
            means, spread = values.mean(1), float((values - values.mean(1, keepdim=True)).std())
            if head == model.finder:
                tops = [(m[head][0].flatten(1) - means[:, None]).flatten().topk(6 * TOP).values for m in maps]
                high, low = max(float(t[0]) for t in tops), min(float(t[-1]) for t in tops)
                factor = min(4.0 / (high - low), 3.0 / spread)
                shifts = 2.0 - factor * high - factor * means
            else:
                wanted, deviation = {"offset": (0.5, 0.2), "size": (5.0, 0.8)}.get(end.split(".")[0], (0.5, 0.5))
                factor = deviation / spread
                shifts = wanted - factor * means
            digits = float(f"{factor:.4g}")
            last[f"heads.{head}.{end}"] = [digits, [round(float(s), 4) for s in shifts]]
    return last


@torch.inference_mode()
def rounding(model: CenterNet, array: NDArray[np.float32]) -> float:
    """How far scores are from those of the same network in double precision: other processors differ by as much."""
    single, double = model(torch.from_numpy(array)), copy.deepcopy(model).double()(torch.from_numpy(array).double())
    return float((single[model.finder].sigmoid() - double[model.finder].sigmoid()).abs().max())


def normalised(model: CenterNet, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return model.preprocessing.normalize(picture[None])


# ------------------------------------------------------------------ checkpoints of the configurations


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """So that the paths in checkpoints are relative."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write_data(folder: Path, names: list[str]) -> None:
    """A COCO file of two drawn pictures."""
    for i, picture in enumerate(pictures()):
        Image.fromarray(picture).save(folder / f"{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": (96, 90)[i], "width": (128, 140)[i]} for i in (0, 1)],
        "annotations": [
            {
                "id": 1 + i,
                "image_id": i % 2,
                "category_id": 1 + i % len(names),
                "bbox": [5 + 9 * i, 8 + 7 * i, 30, 25],
                "area": 750,
                "iscrowd": 0,
            }
            for i in range(8)
        ],
        "categories": [{"id": 1 + i, "name": name} for i, name in enumerate(names)],
    }
    (folder / "data.json").write_text(json.dumps(content))


def plain(value: Any) -> Any:
    """For JSON."""
    if isinstance(value, torch.Tensor):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def one_step(config: Path) -> dict[str, Any]:
    """What is stored of the checkpoint that one step of `fit` writes."""
    content = yaml.safe_load(config.read_text())
    section = content["model"]
    pretrained = section["backbone"]["init_args"].get("pretrained", False)
    if pretrained:
        section["backbone"]["init_args"]["pretrained"] = False
    names = section.get("class_names") or [f"class {i:02}" for i in range(section["num_classes"])]
    dataset: dict[str, Any] = {"class_path": "COCO", "init_args": {"annotations": "data.json", "images": "."}}
    if "embedding" in section["heads"]:
        dataset = {"class_path": "DetectionForTracking", "init_args": {"dataset": dataset}}
    content["data"] = {
        "train": dataset,
        "val": dataset,
        "augmentation": content["data"].get("augmentation"),
        "batch_size": 2,
        "num_workers": 0,
        "sizes": [[64, 64]],
    }
    content["trainer"] = TRAINER
    with tempfile.TemporaryDirectory() as name, inside(Path(name)):
        write_data(Path(name), names)
        Path(config.name).write_text(yaml.safe_dump(content, sort_keys=False))
        fit.run(["--config", config.name], "fit")
        (file,) = Path("runs").rglob("last.ckpt")
        written = torch.load(file, weights_only=True, mmap=True)
        state = written.pop("state_dict")
        moments, averaged = written.pop("optimizer_states"), written.pop("current_model_state", None)
        assert moments[0]["state"] and (averaged is None) == ("averaging_state" not in written)
        if pretrained:
            written["hyper_parameters"]["backbone"]["init_args"]["pretrained"] = True
            assert written["config"].count("pretrained: false") == 1
            written["config"] = written["config"].replace("pretrained: false", "pretrained: true")
        kinds = {key: [list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in state.items()}
        del state, averaged, moments
        return {"content": plain(written), "tensors": kinds, "seed": 0, "last": {}}


def make_configurations() -> None:
    stored = {}
    for config in sorted((ROOT / "configs").glob("*.yaml")):
        stored[config.stem] = one_step(config)
        print(config.stem, len(stored[config.stem]["tensors"]), flush=True)
    write_packed(DATA / "configurations.json.xz", json.dumps(stored, separators=(",", ":")).encode())


def restored(stored: Mapping[str, Any]) -> CenterNet:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.ckpt"
        torch.save(checkpoint(stored), file)
        return CenterNet.load_from_checkpoint(file)


def calibrate_configurations(expected: Expected) -> None:
    stored = configurations()
    for name, entry in stored.items():
        for seed in range(9):
            entry["seed"], entry["last"] = seed, {}
            model = restored(entry)
            inputs = [normalised(model, picture) for picture in pictures()]
            inputs.append(normalised(model, model.preprocessing(pictures()[1])))
            entry["last"] = calibrate(model, inputs)
            model = restored(entry)
            found = [by_hand(model, picture) for picture in pictures()] + [by_detector(opened(model), pictures()[1])]
            gaps = [least_gap(f) for f in found]
            noise = [rounding(model, normalised(model, picture)) for picture in pictures()]
            print(name, seed, "gaps", *(f"{g:.1e}" for g in gaps), "noise", *(f"{n:.1e}" for n in noise), end=" ")
            print("scores", *(f"{f['scores'][0]:.2f}-{f['scores'][TOP - 1]:.2f}" for f in found), end=" ")
            sides = [np.median(f["bboxes"][:, 2:] - f["bboxes"][:, :2]) for f in found]
            print("sides", *(f"{s:.0f}" for s in sides), "labels", len(set(found[0]["labels"].tolist())), flush=True)
            if min(gaps) > 3e-5 and max(noise) < 3e-6:
                break
        else:
            raise RuntimeError(f"{name}: no seed without near ties")
        for way, outputs in zip(("by hand 0", "by hand 1", "by detector"), found, strict=True):
            expected.add(f"{name} {way}", outputs)
    write_packed(DATA / "configurations.json.xz", json.dumps(stored, separators=(",", ":")).encode())


# ------------------------------------------------------------------ small models


def sparse(key: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Values of a frozen backbone that take little room: nine of ten weights are 0, the others of one size."""
    uniform = np.random.RandomState(seed + sum(key.encode())).random_sample(int(np.prod(shape))).reshape(shape)
    if len(shape) == 4:
        size = 2.0 ** np.round(np.log2(np.sqrt(2 / (0.1 * np.prod(shape[1:])))))
        return np.where(uniform < 0.05, -size, np.where(uniform > 0.95, size, 0.0)).astype(np.float32)
    coarse = np.round(4 * uniform) / 16  # 0 .. 1/4
    start = 0.875 if key.endswith(("weight", "running_var")) else -0.125
    return (start + coarse).astype(np.float32)


def small(config: Mapping[str, Any]) -> CenterNet:
    """A small model; its values survive half precision."""
    model = build_centernet({"model": config["model"]}).eval()
    state = model.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            rule = sparse if key.startswith("backbone.") else tensor
            state[key] = torch.from_numpy(rule(key, tuple(value.shape), 1)).half().float()
    model.load_state_dict(state)
    inputs = [normalised(model, picture) for picture in pictures()]
    state = with_statistics(model, inputs)
    model.load_state_dict(state)
    for layer, (factor, shifts) in calibrate(model, inputs).items():
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        state[f"{layer}.weight"] = (weight * factor).half().float()
        state[f"{layer}.bias"] = (bias * factor + torch.tensor(shifts)).half().float()
    model.load_state_dict(state)
    return model.eval()


@torch.inference_mode()
def with_statistics(model: CenterNet, inputs: list[NDArray[np.float32]]) -> dict[str, torch.Tensor]:
    """The state of a model whose batch norms have seen the inputs, so that a step of training changes little."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    model.train()  # the frozen backbone stays as it is
    for norm in norms:
        if norm.training:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of the inputs
    for array in inputs:
        model(torch.from_numpy(array))
    for norm in norms:
        norm.momentum = 0.1
    model.eval()
    return {k: v.half().float() if v.is_floating_point() else v.clone() for k, v in model.state_dict().items()}


def write_packed(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def make_small(expected: Expected) -> None:
    with tempfile.TemporaryDirectory() as name, inside(Path(name)):
        folder = Path(name)
        models = {}
        for kind, config in (("detector", DETECTOR), ("tracker", TRACKER)):
            small(config).save_pretrained(f"{kind}/pretrained")
            models[kind] = CenterNet.from_pretrained(f"{kind}/pretrained")
            Path(f"{kind}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
            fit.run(["--config", f"{kind}.yaml"], "fit")
            (run,) = Path("runs").glob(f"{kind}/version_0")
            shutil.copy(run / "config.yaml", f"{kind}/config.yaml")
            shutil.copy(run / "checkpoints" / "last.ckpt", f"{kind}/last.ckpt")
        models["detector"].class_names = tuple("abcdef")
        make_exports(models, folder / "exports")
        for file in (folder / "exports").iterdir():
            file.write_bytes(without_paths(file.read_bytes()))
        shutil.rmtree("runs")
        for file in sorted(folder.glob("*/**/*")):
            if not file.is_file():
                continue
            target = DATA / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".yaml":
                shutil.copy(file, target)
            else:
                write_packed(target.with_name(target.name + ".xz"), file.read_bytes())
        for source in (*(f"{k}/{n}" for k in models for n in ("pretrained", "last.ckpt")), *exports(folder)):
            detector = opened(folder / source)
            for i, picture in enumerate(pictures()):
                found = by_detector(detector, picture)
                scores = rows(found)[:, 5]
                print(source, i, f"gap {least_gap(found):.1e}", f"{len(scores)}: {scores[0]:.2f}-{scores[-1]:.2f}")
                expected.add(f"{source} {i}", found)


def without_paths(content: bytes) -> bytes:
    """A file without the folders of the machine, which exporters note for each operator: others of the same length."""
    if content.startswith(b"PK"):
        return zip_without_paths(content)
    for folder in (ROOT, Path(sys.prefix)):
        name = str(folder).encode()
        content = content.replace(name, (b"/elsewhere" * len(name))[: len(name)])
    return content


def zip_without_paths(content: bytes) -> bytes:
    """As torch writes archives: what is not compressed begins at multiples of 64 bytes."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(result, "w") as after:
        for entry in before.infolist():
            new = zipfile.ZipInfo(entry.filename, entry.date_time)
            new.compress_type = entry.compress_type
            start = result.tell() + 30 + len(entry.filename) + 4
            padding = -start % 64
            new.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            after.writestr(new, without_paths(before.read(entry)))
    return result.getvalue()


def exports(folder: Path) -> list[str]:
    return [f"exports/{file.name}" for file in sorted((folder / "exports").iterdir()) if file.suffix != ".bin"]


def make_exports(models: Mapping[str, CenterNet], folder: Path) -> None:
    detector = models["detector"]
    options: dict[str, Any] = {"num_detections": TOP, "figures": {"AP": 0.37}}
    export_onnx(detector, folder / "detector.onnx", **options)
    export_onnx(detector, folder / "letterbox.onnx", letterbox=True, **options)
    export_onnx(models["tracker"], folder / "tracker.onnx", raw_maps=True, **options)
    export_torchscript(detector, folder / "detector.pt", **options)
    export_pt2(detector, folder / "detector.pt2", **options)
    export_openvino(detector, folder / "detector.xml", **options)
    with tempfile.TemporaryDirectory() as calibration:
        for i, picture in enumerate([*pictures(), street()]):
            Image.fromarray(picture).save(Path(calibration) / f"{i}.png")
        quantize_onnx(folder / "detector.onnx", folder / "int8.onnx", calibration)


# ------------------------------------------------------------------ the model in the package


def run_packaged(expected: Expected) -> None:
    model, detector = CenterNet.from_pretrained("voc-lite"), opened("voc-lite")
    for i, picture in enumerate([*pictures(), street()]):
        for way, found in (("by hand", by_hand(model, picture)), ("by detector", by_detector(detector, picture))):
            expected.add(f"voc-lite {way} {i}", found)
            print("voc-lite", way, i, f"gap {least_gap(found):.1e}", rows(found)[:, 5])


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    steps = arguments or ["configurations", "calibrate", "tiny", "packaged"]
    file = DATA / "expected.npz"
    expected = Expected(dict(np.load(file)) if file.is_file() else {})
    if "configurations" in steps:
        make_configurations()
    if "calibrate" in steps:
        calibrate_configurations(expected)
    if "tiny" in steps:
        make_small(expected)
    if "packaged" in steps:
        run_packaged(expected)
    np.savez_compressed(file, **dict(sorted(expected.arrays.items())))


if __name__ == "__main__":
    main(sys.argv[1:])
