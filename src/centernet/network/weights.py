"""Trained networks: of a checkpoint, a folder, the package, or a repository of the Hugging Face Hub.

A folder holds `config.yaml` (`model` section, perhaps `figures` and `lineage`), `model.safetensors` (half precision,
but for biases and norms), README.md and the texts of licences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from centernet.configuration import PACKAGED, plain, read_yaml
from centernet.extras import require
from centernet.lineage import recorded_lineage
from centernet.network.build import network_of_section, trained_section, without_start
from centernet.network.card import CARD, write_card
from centernet.network.network import Network
from centernet.network.tensor_files import no_larger_than, read_checkpoint, read_weights
from centernet.packaged import check_packaged
from centernet.trust import Door, Trust
from centernet.whole import whole_files

CONFIG, WEIGHTS = "config.yaml", "model.safetensors"
ELSEWHERE = {"zoo:": ("centernet.foreign.converting", "zoo_folder")}
"""Beginning of a name → the function that returns the folder of such a model: by name, as that room is behind this."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_network(
    source: str | PathLike[str],
    *,
    map_location: torch.device | str | None = None,
    revision: str | None = None,
    trust: Trust = False,
) -> Network:
    """Load a trained network, in evaluation mode.

    Of the classes that it names, parts of this package are built, and those that the program has imported already.

    Args:
        source: a checkpoint (``.ckpt``), or what `find_pretrained` takes.
        map_location: where its tensors go; the processor when None.
        revision: branch, tag or commit of a repository on the Hub.
        trust: True imports, and so runs, whatever module the model names for a class of its own; or the class paths
            that it may name.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the file, and what is wrong with it; an `UntrustedClassError` where it names another class.
    """
    if _is_checkpoint(source):
        network = network_of_checkpoint(read_checkpoint(source, map_location), source, trust=trust)
    else:
        network = _network_of_folder(find_pretrained(source, revision=revision), trust)
    if map_location is not None:
        network.to(map_location)
    return network.eval()


def _is_checkpoint(source: str | PathLike[str]) -> bool:
    return Path(source).suffix.lower() == ".ckpt"


def network_of_checkpoint(
    checkpoint: Mapping[str, Any], source: str | PathLike[str], *, strict: bool = True, trust: Trust = False
) -> Network:
    """Build the network that a checkpoint describes, with its weights; a ValueError where it holds no configuration.

    `source` names it in messages; `trust` is that of `load_network`.
    """
    section = _section_of_checkpoint(checkpoint, source)
    door = Door(str(source), trust)
    state = checkpoint["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{source}: its `state_dict` holds more than tensors by name; did `centernet fit` write it?")
    with no_larger_than(state, source):
        network = network_of_section(section, source="the checkpoint's hyper-parameters", door=door)
    try:
        network.load_state_dict(state, strict=strict)
    except RuntimeError as error:
        reason = _misfit(error)
        raise ValueError(f"{source}: its weights do not fit the model that it describes: {reason}") from error
    network.lineage = recorded_lineage(checkpoint, source)
    return network


def _misfit(error: RuntimeError) -> str:
    """Return the first tensor that does not fit, of the many lines that torch says."""
    lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
    return lines[0][:300]


def _section_of_checkpoint(checkpoint: Mapping[str, Any], source: str | PathLike[str]) -> dict[str, Any]:
    """Return the `model` section in a checkpoint, without the weights that its training began with."""
    section = checkpoint.get("hyper_parameters") or {}
    if not isinstance(section, dict) or "backbone" not in section:
        raise ValueError(
            f"{source}: the checkpoint holds no configuration of a CenterNet; it was not built by "
            "build_centernet or `centernet fit`: give backbone=, neck=, heads= and num_classes= to "
            "CenterNet.load_from_checkpoint"
        )
    return trained_section(section)


def model_section(source: str | PathLike[str]) -> dict[str, Any]:
    """Return the `model` section of a trained model, without the weights that its own training began with.

    `source` and errors are those of `load_network`.
    """
    if _is_checkpoint(source):
        return _section_of_checkpoint(read_checkpoint(source), source)
    path = find_pretrained(source) / CONFIG
    return _section_of_file(read_yaml(path), path)


def _section_of_file(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    section = content.get("model")
    if not isinstance(section, dict):
        raise ValueError(f"{path}: has no section `model`; was it written by model.save_pretrained?")
    return trained_section(section)


def recorded_figures(source: str | PathLike[str]) -> dict[str, float] | None:
    """Return the recorded figures of a model, of which `source` is that of `load_network`.

    They are those in the folder's config.yaml, or the best value that training watched; None where there are none.
    """
    if not _is_checkpoint(source):
        return read_yaml(find_pretrained(source) / CONFIG).get("figures")
    for state in (read_checkpoint(source).get("callbacks") or {}).values():
        if isinstance(state, dict) and state.get("monitor") and state.get("best_model_score") is not None:
            return {str(state["monitor"]).removeprefix("val/"): float(state["best_model_score"])}
    return None


def packaged_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(folder.parent.name for folder in PACKAGED.glob(f"*/{WEIGHTS}"))


def find_pretrained(name: str | PathLike[str], *, revision: str | None = None) -> Path:
    """Return the folder of a model.

    Args:
        name: a folder that `save_network` wrote, a name of `packaged_models`, or the id of a Hugging Face Hub
            repository (`user/model`), which is fetched, or taken from the Hub's local cache; this needs the extra
            `hub`; or a published network of another project, as `zoo:mmdet/centernet-r18-dcn`, which is downloaded and
            converted once.
        revision: branch, tag or commit of a repository on the Hub.

    Raises:
        FileNotFoundError: none of these; the message lists the names.
        ImportError: a Hub id without the extra.
    """
    words = str(name).replace("\\", "/")  # of a path on Windows
    for beginning, (module, function) in ELSEWHERE.items():
        if words.startswith(beginning):
            folder: Path = getattr(import_module(module), function)(words)
            return folder
    for folder in (Path(name), PACKAGED / str(name)):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    expected = (
        f"{', '.join(packaged_models())}, a folder with {CONFIG} and {WEIGHTS} (model.save_pretrained writes one), or "
        "a Hugging Face Hub id such as user/model"
    )
    if isinstance(name, str) and _HUB_ID.fullmatch(name) and not Path(name).exists():
        if not Path(name).parent.is_dir():  # runs/best with a slip of the pen, where there are runs, is no id
            return _fetch(name, revision, expected)
        expected += f", where there is no folder {Path(name).parent} here"
    raise FileNotFoundError(f"{name}: no such model; expected {expected}")


def save_network(
    network: Network,
    folder: str | PathLike[str],
    *,
    figures: Mapping[str, float] | None = None,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write a network as `load_network` reads it; a ValueError where it was not built from a configuration.

    Weights become `dtype`, but for biases and norms, which are few and stay float32, and what only a loss needs (a
    classifier over identities) is left out. Values that this has no number for are a ValueError, before anything is
    written. `figures` are those that were measured of it.
    """
    from safetensors.torch import save

    if "backbone" not in network.hyper_parameters:
        raise ValueError(
            "the model was not built by build_centernet or `centernet fit`: there is no configuration to save"
        )
    weights = _to_save(network, dtype)
    path = Path(folder)
    decided = {"num_detections": network.num_detections, "calibration": plain(network.calibration)}
    section = without_start(network.hyper_parameters) | decided
    content: dict[str, Any] = {"model": section}
    if finite := {name: round(float(value), 4) for name, value in (figures or {}).items() if math.isfinite(value)}:
        content["figures"] = finite
    if network.lineage is not None:
        content["lineage"] = network.lineage.to_dict()
    with whole_files(path / CONFIG) as config:
        config.with_name(WEIGHTS).write_bytes(save(weights))
        config.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    write_card(network, path, finite)
    return path


def _to_save(network: Network, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors of a file, in `dtype` but for biases and norms."""
    weights = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked") or name.startswith(network.training_only()):
            continue
        kind = dtype if value.ndim > 1 else torch.float32
        weights[name] = value.detach().cpu().to(kind).contiguous()
        if not torch.isfinite(weights[name]).all():
            raise ValueError(
                f"{name} has values up to {value.detach().abs().max().item():.4g}, and the precision of the file ends "
                f"at {torch.finfo(kind).max:.5g}: the model is not saved. Keep the checkpoint of `centernet fit`; if "
                "the values are not finite, the training diverged"
            )
    return weights


def _network_of_folder(folder: Path, trust: Trust) -> Network:
    for file in (CONFIG, WEIGHTS):
        check_packaged(folder / file)
    content = read_yaml(folder / CONFIG)
    section = _section_of_file(content, folder / CONFIG)
    state = read_weights(folder / WEIGHTS)
    with no_larger_than(state, folder / CONFIG):
        network = network_of_section(section, source=str(folder / CONFIG), door=Door(str(folder / CONFIG), trust))
    network.lineage = recorded_lineage(content, folder / CONFIG)
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit {CONFIG} beside it: {_misfit(error)}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{folder / WEIGHTS} does not fit {CONFIG} beside it: {len(missing)} tensors are missing and "
            f"{len(unexpected)} have no place, first {[*missing, *unexpected][0]}"
        )
    return network


def _fetch(repo_id: str, revision: str | None, expected: str) -> Path:
    hub = require("huggingface_hub", f"the model {repo_id} of the Hugging Face Hub")
    try:
        folder = hub.snapshot_download(repo_id, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD, "LICENSE*"])
    except Exception as error:  # offline, no such repository, no access: the client has a class for each
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        raise FileNotFoundError(
            f"{repo_id}: could not download it from the Hugging Face Hub ({type(error).__name__}: {first}); "
            f"expected {expected}"
        ) from error
    if missing := [file for file in (CONFIG, WEIGHTS) if not (Path(folder) / file).is_file()]:
        raise FileNotFoundError(f"{repo_id}: the repository has no {missing[0]}; was it written by model.push_to_hub?")
    return Path(folder)
