"""Trained models: those of the package, folders that `save_pretrained` wrote, and the same folders on the Hub.

A folder holds `config.yaml` (the `model` section), `model.safetensors` (weights, half precision) and, where it is to be
passed on, a README.md that says what the model was trained on and how good it is.
"""

from __future__ import annotations

import re
import tempfile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from centernet.extras import require

if TYPE_CHECKING:
    from centernet.models.centernet import CenterNet

PACKAGED = Path(__file__).resolve().parents[1] / "weights"
CONFIG, WEIGHTS = "config.yaml", "model.safetensors"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def packaged_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(folder.parent.name for folder in PACKAGED.glob(f"*/{WEIGHTS}"))


def find_pretrained(name: str | PathLike[str], *, revision: str | None = None) -> Path:
    """The folder of a model.

    Args:
        name: a folder, a name of `packaged_models`, or the id of a Hugging Face Hub repository (`user/model`), which is
            fetched, or taken from the Hub's local cache; this needs the extra `hub`.
        revision: branch, tag or commit of a repository on the Hub.

    Raises:
        FileNotFoundError: none of these; the message lists the names.
        ImportError: a Hub id without the extra.
    """
    for folder in (Path(name), PACKAGED / str(name)):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    expected = (
        f"{', '.join(packaged_models())}, a folder with {CONFIG} and {WEIGHTS} (model.save_pretrained writes one), or "
        "a Hugging Face Hub id such as user/model"
    )
    if isinstance(name, str) and _HUB_ID.fullmatch(name) and not Path(name).exists():
        return _fetch(name, revision, expected)
    raise FileNotFoundError(f"{name}: no such model; expected {expected}")


def _fetch(repo_id: str, revision: str | None, expected: str) -> Path:
    hub = require("huggingface_hub", f"the model {repo_id} of the Hugging Face Hub")
    try:
        folder = hub.snapshot_download(repo_id, revision=revision, allow_patterns=[CONFIG, WEIGHTS, "README.md"])
    except Exception as error:  # offline, no such repository, no access: the client has a class for each
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        raise FileNotFoundError(
            f"{repo_id}: not to be had from the Hugging Face Hub ({type(error).__name__}: {first}); expected {expected}"
        ) from error
    missing = [file for file in (CONFIG, WEIGHTS) if not (Path(folder) / file).is_file()]
    if missing:
        raise FileNotFoundError(f"{repo_id}: the repository has no {missing[0]}; was it written by model.push_to_hub?")
    return Path(folder)


def push_to_hub(model: CenterNet, repo_id: str, *, private: bool | None, token: str | None, message: str) -> str:
    """Write a model to a repository of the Hugging Face Hub; see `CenterNet.push_to_hub`."""
    hub = require("huggingface_hub", "push_to_hub")
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))


def model_section(source: str | PathLike[str]) -> dict[str, Any]:
    """The `model` section of a trained model's configuration, without the weights that its own training began with.

    Args:
        source: a checkpoint (``.ckpt``), a folder of `save_pretrained`, or the name of a model in the package.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a checkpoint of a model that was not built from a configuration.
    """
    from centernet.network.build import read_yaml, without_start
    from centernet.network.checkpoint import read_checkpoint

    if Path(source).suffix != ".ckpt":
        return without_start(read_yaml(find_pretrained(source) / CONFIG)["model"])
    parameters = read_checkpoint(source).get("hyper_parameters") or {}
    if "backbone" not in parameters:
        raise ValueError(f"{source}: the checkpoint holds no configuration; was it written by `centernet fit`?")
    return without_start(parameters)


def load_pretrained(name: str | PathLike[str], *, revision: str | None = None) -> CenterNet:
    """The model of a folder, of the package or of the Hub, in evaluation mode, on the processor.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: weights and configuration do not fit each other.
    """
    from centernet.network.backbones.backbone import read_weights
    from centernet.network.build import build_from_hyper_parameters, read_yaml

    folder = find_pretrained(name, revision=revision)
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
    """Write a model as `load_pretrained` reads it; weights become half precision, and what only a loss needs (a
    classifier over identities) is left out.

    Raises:
        ValueError: the model was not built from a configuration.
    """
    from safetensors.torch import save_file

    from centernet.network.build import without_start

    if "backbone" not in model.hparams:
        raise ValueError(
            "the model was not built by build_centernet or `centernet fit`: there is no configuration to save"
        )
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    section = without_start(model.hparams)
    (path / CONFIG).write_text(yaml.safe_dump({"model": section}, sort_keys=False), encoding="utf-8")
    training_only = [f"heads.{name}.{part}." for name, head in model.heads.items() for part in head.training_only]  # type: ignore[union-attr]
    weights = {
        name: value.detach().cpu().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked") and not name.startswith(tuple(training_only))
    }
    save_file(weights, path / WEIGHTS)
    return path
