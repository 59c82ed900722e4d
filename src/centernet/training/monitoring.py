"""The figure that says which weights of a run are best, when it stops, and why there may be none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from centernet.annotations.keypoints import KEYPOINTS
from centernet.column import Column
from centernet.data import DataModule, DetectionDataset
from centernet.data.fields import keypoint_field
from centernet.inference.validation import figure_names
from centernet.network.network import Network

_LESS_IS_BETTER = ("loss", "IDSW", "MR-2", "FP", "FN", "Frag", "ML")


def is_less_better(name: str) -> bool:
    """Return True for a figure of which the lowest value is the best, such as ``val/loss``."""
    return name.rsplit("/", 1)[-1] in _LESS_IS_BETTER


def follows_tracks(network: Network, dataset: DetectionDataset) -> bool:
    """Return True if a network is a tracker and its validation data are videos with identities."""
    tracker = bool(network.tracker) or any(column.name == "embeddings" for column in network.columns)
    return tracker and bool(dataset.sequences) and dataset.num_identities > 0


def follows_keypoints(network: Network, dataset: DetectionDataset) -> bool:
    """Return True if a network finds keypoints and its validation data have them."""
    return keypoint_field(dataset.fields) is not None and any(column.name == KEYPOINTS for column in network.columns)


def figures(dataset: DetectionDataset, columns: Sequence[Column] = ()) -> list[str]:
    """Return the names of the figures that a validation of a network with these columns logs on a data set."""
    return ["val/loss", *(f"val/{name}" for name in figure_names(dataset, columns))]


def monitored(network: Network, dataset: DetectionDataset, name: str | None = None) -> str:
    """Return the figure that a run follows: ``val/HOTA`` for a tracker, ``val/AP`` for a detector,
    ``val/keypoints/AP`` where it finds keypoints that the data have.

    Args:
        network: that is trained.
        dataset: that it is validated on.
        name: the figure that is asked for instead, with or without ``val/``.

    Raises:
        ValueError: the validation has no such figure.
    """
    if name is None:
        if follows_tracks(network, dataset):
            return "val/HOTA"
        return "val/keypoints/AP" if follows_keypoints(network, dataset) else "val/AP"
    known = figures(dataset, network.columns)
    wanted = name if name.startswith("val/") else f"val/{name}"
    if wanted not in known:
        near = get_close_matches(wanted, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        shown = ", ".join(figure.removeprefix("val/") for figure in known)
        raise ValueError(f"--monitor {name}: validation on {dataset!r} has no such figure.{hint} It has {shown}")
    return wanted


def without_validation(datamodule: DataModule, settings: dict[str, Any]) -> str | None:
    """Return why a run will have no figures, or None where it will have some.

    Args:
        datamodule: its data.
        settings: the options of its trainer.
    """
    val = datamodule.datasets.get("val")
    if val is None:
        return "no validation, as data.val is not given"
    if val.columns.ignore.all():
        return f"no figures, as none of the {len(val):,} validation images of {val!r} has an object"
    if settings.get("limit_val_batches") == 0:
        return "no validation, as trainer.limit_val_batches is 0"
    epochs, every = settings.get("max_epochs"), settings.get("check_val_every_n_epoch")
    if epochs is not None and every is not None and 0 < epochs < every:
        return f"no validation, as trainer.check_val_every_n_epoch is {every} and trainer.max_epochs {epochs}"
    return None


def fit_callbacks(monitor: str | None, patience: int | None, *, checkpoints: bool = True) -> list[Callback]:
    """Return the callbacks that keep the best weights and the last ones, and stop a run that no longer gains.

    Args:
        monitor: the figure that decides; None keeps the last weights alone.
        patience: validations without a better value after which the run stops; None for never.
        checkpoints: False where the run has callbacks of its own for them.
    """
    added: list[Callback] = []
    mode = "min" if monitor is not None and is_less_better(monitor) else "max"
    if monitor is not None and checkpoints:
        added.append(ModelCheckpoint(monitor=monitor, mode=mode, filename="best", enable_version_counter=False))
    if monitor is not None and patience is not None:
        added.append(EarlyStopping(monitor, mode=mode, patience=patience, check_on_train_epoch_end=False))
    if checkpoints:  # save_last=True would write only when there is a new best
        added.append(ModelCheckpoint(filename="last", save_on_train_epoch_end=True, enable_version_counter=False))
    return added


def stopping_reason(trainer: pl.Trainer) -> str | None:
    """Return why a run stopped before its end, or None where it did not."""
    for callback in trainer.early_stopping_callbacks:
        if callback.stopped_epoch and callback.wait_count >= callback.patience:
            return (
                f"stopped after epoch {callback.stopped_epoch + 1}: {callback.wait_count} validations without a better "
                f"{callback.monitor}"
            )
    return None


def bring_here(trainer: pl.Trainer, states: dict[str, Any]) -> str:
    """Change what a checkpoint says of the best weights and the last ones to the folder that this run writes to.

    A run's folder may have been moved since, or come from another machine without its best weights, which then
    cannot be the result: those of the epochs from here on are.

    Args:
        trainer: that goes on, its folder known.
        states: of its callbacks, from the checkpoint; changed.

    Returns:
        Which best weights are not here, in a sentence; empty where none are missing.
    """
    lost = ""
    for callback in trainer.checkpoint_callbacks:
        state = states.get(callback.state_key)
        if not isinstance(callback, ModelCheckpoint) or state is None or callback.dirpath is None:
            continue
        best, before, folder = state["best_model_path"], state.get("dirpath"), str(callback.dirpath)
        if not best:
            state["dirpath"] = folder
        elif before and callback.file_exists(_moved(best, before, folder), trainer):
            for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[name] = _moved(state.get(name, ""), before, folder)
            of_best = state.get("best_k_models", {}).items()
            state["best_k_models"] = {_moved(path, before, folder): score for path, score in of_best}
            state["dirpath"] = folder
        else:
            del states[callback.state_key]
            if callback.monitor:
                lost = (
                    f"the best weights before ({callback.monitor} {float(state['best_model_score']):.4f}, {best}) are "
                    f"not in {folder}: those of the epochs from here on are the result. To keep them, go on from the "
                    "checkpoint in the folder of its run, beside them"
                )
    return lost


def _moved(path: str, before: str, folder: str) -> str:
    return os.path.join(folder, os.path.relpath(path, before)) if path else path


def result(trainer: pl.Trainer) -> tuple[str, ModelCheckpoint | None]:
    """Return the checkpoint that a run has led to, and the callback that chose it.

    It is the best one, or the last one where no validation decided; an empty path where nothing was written.
    """
    kept = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    best = next((callback for callback in kept if callback.monitor and callback.best_model_path), None)
    if best is not None:
        return best.best_model_path, best
    return next((callback.best_model_path for callback in kept if callback.best_model_path), ""), None
