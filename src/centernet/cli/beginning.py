"""The checkpoint that `fit` and `validate` begin with, and the configuration that follows from it and the options."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from centernet.annotations.problems import DataError
from centernet.configuration import plain
from centernet.documents import read_yaml_text
from centernet.network.build import without_start
from centernet.network.network import Network
from centernet.training import given as options, resuming
from centernet.training.given import Difference, differences
from centernet.trust import Door, Trust, texts_of, through

logger = logging.getLogger(__name__)

_WORDS = ("best", "last", "hpc")  # that Lightning takes for a path, and finds nothing where a run is new


def run_name(config: Any) -> str:
    """Return the name of a run: that of its configuration file."""
    files = [Path(str(file)) for file in config.config or ()]
    return files[0].stem if files else "run"


class Beginning:
    """The checkpoint of `--ckpt_path` or `--resume`, with the options that differ from its own.

    Args:
        parser: of the command.
        arguments: of the command.
        config: the arguments as parsed.
        command: `fit` or `validate`.

    Attributes:
        config: every value that is used: what was given, then what the checkpoint has, then defaults.
        trust: what models of this run may name: what the configuration does, or anything.
        door: that of the checkpoint; None without one.
        done: what `--resume` says of a run that has nothing left to train; None for others.

    Raises:
        FileNotFoundError, ValueError: the file or the option that is wrong.
    """

    def __init__(self, parser: Any, arguments: Sequence[str], config: Any, command: str) -> None:
        self.config, self.command, self.found = config, command, list[Difference]()
        self._refuse_two(arguments)
        self.done: resuming.NothingLeft | None = None
        self.resumes = bool(config.resume)
        if config.resume:
            newest = resuming.newest_checkpoint(Path(config.output), run_name(config))
            config.resume = False  # a run that is trained by the saved configuration begins anew
            if newest is not None:
                config.ckpt_path = str(newest)
                logger.info("resume: %s", newest)
        given = plain(parser.parse_args(arguments, defaults=False))
        self.trust: Trust = bool(config.trust) or texts_of(given)
        config.trust = False  # said of this run's files alone
        self.door: Door | None = None
        self.source = self._file()
        self.checkpoint = None if self.source is None else resuming.open_checkpoint(self.source)
        if self.checkpoint is None or not self.checkpoint.get("hyper_parameters"):
            return
        self.advice = (
            f"to train another model from its weights, where they fit: centernet fit … --start_from {self.source}, "
            "without --ckpt_path or --resume"
        )
        self.door = Door(str(self.source), self.trust)
        with through(self.door):
            self._take_over(parser, arguments, given)

    def _refuse_two(self, arguments: Sequence[str]) -> None:
        config = self.config
        if config.resume and self.command == "validate":
            raise ValueError("--resume is of fit; give validate the checkpoint: --ckpt_path")
        if config.resume and config.ckpt_path:
            raise ValueError("--resume finds a checkpoint and --ckpt_path names one: give one of them")
        started = any(argument.startswith("--start_from") for argument in arguments)
        if started and (config.resume or config.ckpt_path):
            raise ValueError(
                "--start_from begins with the weights of one model, a checkpoint with its own: give one of them"
            )

    def _file(self) -> Path | None:
        """Return the checkpoint, of an address the file that was fetched from it; None where there is none."""
        path = self.config.ckpt_path
        if not path:
            if self.command == "validate" and not self.config.start_from:
                logger.warning(
                    "no --ckpt_path: the network that is evaluated has learned nothing but its backbone's start"
                )
            return None
        if str(path) in _WORDS:
            raise ValueError(f"--ckpt_path {path}: give the path of a checkpoint; fit finds the newest by --resume")
        if "://" in str(path):
            self.config.ckpt_path = str(resuming.fetched_checkpoint(str(path)))
            return Path(self.config.ckpt_path)
        if str(path).startswith("registry:") or Path(path).is_dir():
            raise ValueError(f"--ckpt_path {path}: is no file; give the .ckpt file itself, or its address (https://…)")
        return Path(path)

    def _take_over(self, parser: Any, arguments: Sequence[str], given: dict[str, Any]) -> None:
        checkpoint, source = self.checkpoint, self.source
        assert checkpoint is not None and source is not None
        section = options.model_section(checkpoint, given.get("model", {}), source, self.advice)
        recorded = options.recorded_configuration(checkpoint)
        assert self.door is not None
        self.door.check_all(options.recorded_model(checkpoint), "model")
        own = parser.parse_object({"model": options.recorded_model(checkpoint)}, self.config)
        sections = {"model": section}
        if self.command == "fit":
            sections |= options.resumed_sections(recorded, given, plain(self.config))
        if given.get("data", {}).get("batch_size") == "auto":  # found once, by the run that goes on
            sections.setdefault("data", {})["batch_size"] = recorded.get("data", {}).get("batch_size", "auto")
        self.door.check_all(sections)
        self.config = parser.parse_object(sections, self.config)
        used = read_yaml_text(parser.dump(self.config, skip_unset=False))
        if self.command == "validate":
            options.check_validation(arguments, recorded, used, source)
        self.found = differences(without_start(own.model), without_start(self.config.model), "model")
        if self.command == "fit":
            for name in ("optimization", "data"):
                if name in recorded:
                    self.found += differences(recorded[name], {k: used[name].get(k) for k in recorded[name]}, name)
        options.check_classes(self.found, source, self.advice)

    def check(self, network: Network) -> None:
        """Make sure that the weights fit, and say which options take effect in place of the checkpoint's.

        Raises:
            ValueError: an option that cannot take effect.
        """
        checkpoint, source = self.checkpoint, self.source
        if checkpoint is None or source is None:
            return
        if checkpoint.get("hyper_parameters"):
            options.check_weights(network, checkpoint, self.found, source, self.advice)
        if self.command == "fit":
            trainer = self.config.trainer
            try:
                resuming.check_unfinished(checkpoint, source, trainer.max_epochs, trainer.max_steps)
            except resuming.NothingLeft as done:
                if not self.resumes:
                    raise
                self.done = done
            options.check_optimizer(network, checkpoint, self.found, source, self.advice)
        for difference in self.found:
            logger.info("%s, which is no longer used", difference)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say what a part found wrong without the parser's words around it, and whose list lacks which classes."""
        try:
            yield
        except (ValueError, TypeError) as error:
            wrong = _origin(error)
            if wrong is error and self.source is None:
                raise
            key = re.search(r'Parser key "([\w.]+)"', str(error)) if wrong is not error else None
            text = f"{key[1]}: {wrong}" if key else str(wrong)
            if self.source is not None and "list of classes" in text:
                text += f". It is that of {self.source}; {self.advice}"
            raise (DataError if isinstance(wrong, DataError) else ValueError)(text) from error


def _origin(error: BaseException) -> BaseException:
    """Return the first problem in data among the causes of an error, else what a parser's error about a union is of."""
    found, cause = error, error
    while not isinstance(cause, DataError) and cause.__cause__ is not None:
        cause = cause.__cause__
        if isinstance(cause, DataError) or "Union subtypes" in str(error):
            found = cause
    return found
