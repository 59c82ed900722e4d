"""Options that are given beside a checkpoint: they take effect, or they are refused with the checkpoint's own.

Options that are not given are the checkpoint's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from centernet.configuration import plain, with_current_names, with_current_paths
from centernet.documents import read_yaml_text
from centernet.network.build import trained_section, without_start
from centernet.network.network import Network

Values = dict[str, Any]

_ONE_VALUE = ("model.tracker",)  # mappings whose keys belong together
_OF_WEIGHTS = ("model.backbone", "model.neck", "model.heads", "model.loss_weighting")
_OF_TRAINING = ("train", "augmentation", "sampling", "sizes", "size_schedule", "cache", "cache_gib", "seed")
_OF_TRAINER = ("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")


@dataclass(frozen=True)
class Difference:
    """An option whose value is another than the checkpoint's.

    Attributes:
        key: with dots.
        given: the value that was given.
        recorded: that of the checkpoint; None where it has none.
    """

    key: str
    given: Any
    recorded: Any

    def __str__(self) -> str:
        return f"{self.key} is {_shown(self.given)}, that of the checkpoint {_shown(self.recorded)}"


def merge(recorded: Any, given: Any, key: str) -> Any:
    """Return the recorded values with the given ones in their place, option by option.

    A part of another class replaces the recorded one with all its arguments.
    """
    if not _same_form(recorded, given, key):
        return given
    return recorded | {name: merge(recorded.get(name), value, f"{key}.{name}") for name, value in given.items()}


def differences(recorded: Any, used: Any, key: str) -> list[Difference]:
    """Return the options that `used` has another value of than `recorded`."""
    if _same_form(recorded, used, key):
        names = dict.fromkeys([*recorded, *used])
        found = [differences(recorded.get(name), used.get(name), f"{key}.{name}") for name in names]
        return [difference for part in found for difference in part]
    return [] if recorded == used else [Difference(key, used, recorded)]


def _same_form(recorded: Any, given: Any, key: str) -> bool:
    if not isinstance(recorded, dict) or not isinstance(given, dict) or key in _ONE_VALUE:
        return False
    path = recorded.get("class_path")
    return bool(given.get("class_path", path) == path)


def model_section(checkpoint: Mapping[str, Any], given: Values, source: str | PathLike[str], advice: str) -> Values:
    """Return the `model` section of a checkpoint, with what was given in its place.

    Args:
        checkpoint: with a section in its `hyper_parameters`.
        given: the `model` section as given, without defaults.
        source: names the checkpoint in messages.
        advice: the end of messages: how to begin with its weights instead.

    Raises:
        ValueError: other classes than the checkpoint's, or other heads.
    """
    recorded = recorded_model(checkpoint)
    asked: Values = without_start(given)
    names, number = asked.pop("class_names", None), asked.pop("num_classes", None)
    known: Any = recorded.get("class_names")
    for name in ("num_detections", "calibration"):
        if asked.get(name) is None:  # as the data had it
            asked.pop(name, None)
    if known is None and names is not None:  # a checkpoint of a model that has never seen data
        recorded["class_names"] = names
    elif names is not None and list(names) != list(known):
        raise ValueError(
            f"model.class_names is [{', '.join(names)}], but {source} was trained for [{', '.join(known)}], in this "
            f"order. Leave the option out to keep these; {advice}"
        )
    count = recorded.get("num_classes") if known is None else len(known)
    if number is not None and count is not None and number != count:
        raise ValueError(
            f"model.num_classes is {number}, but {source} was trained for {count}"
            f"{'' if known is None else ': ' + ', '.join(known)}. Leave the option out to keep these; {advice}"
        )
    heads: Values = asked.get("heads") or recorded["heads"]
    if heads.keys() != recorded["heads"].keys():
        raise ValueError(
            f"model.heads has {', '.join(heads)}, but {source} was trained with {', '.join(recorded['heads'])}. "
            f"Give the same heads; {advice}"
        )
    merged: Values = merge(recorded, asked, "model")
    return merged


def recorded_model(checkpoint: Mapping[str, Any]) -> Values:
    """Return the `model` section of a checkpoint by today's names, without the weights that its training began with."""
    section: Values = with_current_paths(trained_section(checkpoint["hyper_parameters"]))
    return section


def check_classes(found: Sequence[Difference], source: str | PathLike[str], advice: str) -> None:
    """Refuse parts of other classes than the checkpoint's: even where their weights fit, they mean something else.

    Args:
        found: the options that differ from the checkpoint's.
        source: names the checkpoint in messages.
        advice: the end of messages: how to begin with its weights instead.

    Raises:
        ValueError: there is one.
    """
    classes = [d for d in found if d.key.startswith(_OF_WEIGHTS) and (_is_class(d.given) or _is_class(d.recorded))]
    if classes:
        raise _other_weights(classes, source, advice)
    for difference in found:
        if difference.key == "optimization.optimizer":
            raise ValueError(
                f"{source} holds the state of another optimiser: {difference}. Leave the option out to keep it; "
                f"{advice}"
            )


def check_weights(
    network: Network,
    checkpoint: Mapping[str, Any],
    found: Sequence[Difference],
    source: str | PathLike[str],
    advice: str,
) -> None:
    """Make sure that a network can hold the weights of a checkpoint.

    Args:
        network: of the options that are used.
        checkpoint: whose weights it is to get.
        found, source, advice: as for `check_classes`.

    Raises:
        ValueError: it cannot; the options that differ are named.
    """
    wrong = _first_misfit(network, checkpoint["state_dict"])
    if wrong is not None:
        of_weights = [difference for difference in found if difference.key.startswith(_OF_WEIGHTS)]
        if of_weights:
            raise _other_weights(of_weights, source, advice)
        raise ValueError(f"{source}: its weights do not fit the model that it describes: {wrong}")


def _other_weights(found: Sequence[Difference], source: str | PathLike[str], advice: str) -> ValueError:
    return ValueError(
        f"{source} holds the weights of another network: {'; '.join(map(str, found))}. Leave the option out to keep "
        f"the checkpoint's; {advice}"
    )


def check_optimizer(
    network: Network,
    checkpoint: Mapping[str, Any],
    found: Sequence[Difference],
    source: str | PathLike[str],
    advice: str,
) -> None:
    """Make sure that the state of a checkpoint's optimiser fits what is trained. Arguments and error are those of
    `check_weights`."""
    if any(key not in checkpoint for key in ("optimizer_states", "lr_schedulers", "loops")):
        raise ValueError(f"{source} holds weights alone, so a run cannot go on from it; {advice}")
    losses = tuple(network.training_only())
    trained = sum(p.requires_grad for name, p in network.named_parameters() if not name.startswith(losses))
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    recorded = sum(len(group["params"]) for group in groups)
    recorded -= sum(name.startswith(losses) for name in checkpoint["state_dict"])
    if trained != recorded:
        named = "".join(f"; {difference}" for difference in found if difference.key.startswith(_OF_WEIGHTS))
        raise ValueError(
            f"the run of {source} trained {recorded} tensors, this one trains {trained}{named}. Give the options of "
            f"the model as the checkpoint has them; {advice}"
        )


def recorded_configuration(checkpoint: Mapping[str, Any]) -> Values:
    """Return every value that the run of a checkpoint used; empty where it was not written by `centernet fit`."""
    content = read_yaml_text(str(checkpoint.get("config") or "")) or {}
    return with_current_names(content) if isinstance(content, dict) else {}


def resumed_sections(recorded: Values, given: Values, known: Values) -> Values:
    """Return what a run that is resumed has beside its model: what is given, else what the run had.

    Args:
        recorded: of `recorded_configuration`.
        given: the configuration as given, without defaults.
        known: the configuration with defaults: its options are those that there are.
    """
    sections: Values = {}
    for section in ("optimization", "data", "trainer"):
        had, asked, options = (part.get(section) or {} for part in (recorded, given, known))
        names = [name for name in had if name in options and (section != "trainer" or name in _OF_TRAINER)]
        sections[section] = {name: had[name] for name in names if name not in asked}
        if section == "optimization" and isinstance(asked.get("optimizer"), dict) and "optimizer" in had:
            sections[section]["optimizer"] = merge(had["optimizer"], asked["optimizer"], "optimization.optimizer")
    for name in ("seed_everything", "ema_decay", "teacher", "teacher_weight"):
        if name in recorded and name not in given:
            sections[name] = recorded[name]
    return sections


def check_validation(arguments: Iterable[str], recorded: Values, used: Values, source: str | PathLike[str]) -> None:
    """Refuse options on the command line of `validate` that only a training uses, unless the checkpoint's run had them.

    Those of the configuration file are not looked at: the file serves the training too.
    """
    asked = [argument.removeprefix("--").partition("=")[0].split(".") for argument in arguments if argument[:2] == "--"]
    for section, name in (key[:2] for key in asked if len(key) > 1):
        if section == "optimization" or (section == "data" and name in _OF_TRAINING):
            had, now = (plain(values.get(section) or {}).get(name) for values in (recorded, used))
            for difference in differences(had, now, f"{section}.{name}"):
                raise ValueError(
                    f"{difference.key} is of training and has no effect on validate, so leave it out: "
                    f"{source} was trained with {_shown(difference.recorded)}, {_shown(difference.given)} was given"
                )


def _first_misfit(network: Network, state: Mapping[str, Any]) -> str | None:
    """Return the first tensor that one of both lacks or has in another shape."""
    passing = tuple(network.training_only())
    own = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.startswith(passing)}
    given = {name: tuple(value.shape) for name, value in state.items() if not name.startswith(passing)}
    for name in [*own, *given]:
        if own.get(name) != given.get(name):
            return f"{name} is {own.get(name, 'not there')} in the model and {given.get(name, 'not there')} in the file"
    return None


def _is_class(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value


def _shown(value: Any) -> str:
    if _is_class(value):
        return str(value["class_path"]).rsplit(".", 1)[-1]
    return json.dumps(value, ensure_ascii=False, default=str)
