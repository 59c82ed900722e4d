"""Trained models: those of the package, and folders that `save_pretrained` wrote.

A folder holds `config.yaml` (the `model` section), `model.safetensors` (weights, half precision) and, where it is to be
passed on, a README.md that says what the model was trained on and how good it is.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

if TYPE_CHECKING:
    from centernet.models.centernet import CenterNet

PACKAGED = Path(__file__).resolve().parents[1] / "weights"
CONFIG, WEIGHTS = "config.yaml", "model.safetensors"


def packaged_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(folder.parent.name for folder in PACKAGED.glob(f"*/{WEIGHTS}"))


def find_pretrained(name: str | PathLike[str]) -> Path:
    """The folder of a model.

    Args:
        name: a folder, or a name of `packaged_models`.

    Raises:
        FileNotFoundError: neither; the message lists the names.
    """
    for folder in (Path(name), PACKAGED / str(name)):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    expected = f"a folder with {CONFIG} and {WEIGHTS} (model.save_pretrained writes one)"
    raise FileNotFoundError(f"{name}: no such model; expected {', '.join(packaged_models())} or {expected}")


def load_pretrained(name: str | PathLike[str]) -> CenterNet:
    """The model of a folder or of the package, in evaluation mode, on the processor.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: weights and configuration do not fit each other.
    """
    from centernet.models.backbones.backbone import read_weights
    from centernet.models.build import build_from_hyper_parameters, read_yaml

    folder = find_pretrained(name)
    model = build_from_hyper_parameters(read_yaml(folder / CONFIG)["model"])
    weights = read_weights(folder / WEIGHTS)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{folder / WEIGHTS} does not fit {CONFIG} beside it: {len(missing)} tensors are missing and "
            f"{len(unexpected)} have no place, first {[*missing, *unexpected][0]}"
        )
    return model.eval()


def save_pretrained(model: CenterNet, folder: str | PathLike[str]) -> Path:
    """Write a model as `load_pretrained` reads it; weights become half precision.

    Raises:
        ValueError: the model was not built from a configuration.
    """
    from safetensors.torch import save_file

    from centernet.models.build import without_start

    if "backbone" not in model.hparams:
        raise ValueError(
            "the model was not built by build_centernet or `centernet fit`: there is no configuration to save"
        )
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    section = without_start(model.hparams)
    (path / CONFIG).write_text(yaml.safe_dump({"model": section}, sort_keys=False), encoding="utf-8")
    weights = {
        name: value.detach().cpu().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(weights, path / WEIGHTS)
    return path
