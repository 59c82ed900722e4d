"""The data sets that a configuration names, each read by itself, so that one that fails doesn't hide the others."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from jsonargparse import ArgumentParser

from .. import data
from ..annotations.problems import with_nearest
from .audit_subject import AuditSubject
from .datamodule import DataModule
from .dataset import DetectionDataset
from .sample import DataError, DataWarning

_SPLITS = ("train", "val", "test")


def read_data_section(section: Mapping[str, Any], *, source: str) -> AuditSubject:
    """Return the data sets and settings of a `data` section; problems in the data stay in the data sets' `problems`.

    Args:
        section: as in the YAML file.
        source: begins the messages.

    Raises:
        DataError: an unknown key or class, or a value of the wrong type.
    """
    others = {key: value for key, value in section.items() if key not in _SPLITS}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataModule, "data", skip=set(_SPLITS), instantiate=False)
    settings = dict(vars(_instantiate(parser, {"data": others}, source).data))
    result = AuditSubject(
        "a configuration with " + ", ".join(split for split in _SPLITS if section.get(split) is not None),
        preprocessing=settings.pop("preprocessing"),
        class_names=settings.pop("class_names"),
        num_classes=settings.pop("num_classes"),
        settings=settings,
    )
    for split in _SPLITS:
        if section.get(split) is None:
            continue
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument(f"--{split}", type=DetectionDataset)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            try:
                result.datasets[split] = _instantiate(parser, {split: section[split]}, f"{source}: data")[split]
            except _InTheData as error:
                result.failed[split] = str(error)
    return result


class _InTheData(DataError):
    """The configuration is right, the data are not."""


def _instantiate(parser: ArgumentParser, values: Mapping[str, Any], source: str) -> Any:
    try:
        parsed = parser.parse_object(dict(values))
    except Exception as error:  # jsonargparse's own, which tells the key and what was expected
        unknown = re.search(r"Expected a dot import path string: (\w+)", str(error))
        choices = f" ({with_nearest([unknown[1]], data.__all__)} is no class of centernet.data)" if unknown else ""
        raise DataError(f"{source}: {error}{choices}") from error
    try:
        return parser.instantiate(parsed)
    except (DataError, OSError) as error:
        raise _InTheData(str(error)) from error
