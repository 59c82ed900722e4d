"""`CenterNet`: what a user holds. A network that trains, detects, tracks, and is written to files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centernet.calibration import Calibration
from centernet.data import DetectionDataset
from centernet.export import ExportOptions, export
from centernet.export.torchscript import read_script
from centernet.extras import require
from centernet.foreign import open_foreign
from centernet.inference import Detector, collect, open_source, track
from centernet.inference.tracking import make_tracker
from centernet.inference.validation import Validation
from centernet.lineage import recorded_lineage
from centernet.network.build import build_network
from centernet.network.card import CARD
from centernet.network.network import Network
from centernet.network.tensor_files import read_checkpoint
from centernet.network.weights import load_network, network_of_checkpoint, save_network
from centernet.training.module import DetectionModule
from centernet.trust import Trust


def build_centernet(config: str | PathLike[str] | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> CenterNet:
    """Build a model from its configuration.

    Args:
        config: path of a YAML file, or a mapping (a dict, an OmegaConf node …), with a `model` section; other sections
            are left alone.
        overrides: `dotted.key=value` entries that replace values, such as `model.num_classes=3`; values are YAML.

    Returns:
        The model, in training mode, with the configuration in its hyper-parameters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the key that is wrong, and what was expected.
    """
    return CenterNet.of(build_network(config, overrides=overrides))


def _of_network(name: str) -> Any:
    """Return a property that reads and sets what the network has under this name."""
    return property(lambda self: getattr(self.network, name), lambda self, value: setattr(self.network, name, value))


class CenterNet(DetectionModule):
    """A detector, and with an `EmbeddingHead` a tracker.

    Args:
        parts: the arguments of `centernet.network.Network`: backbone, neck, heads, num_classes or class_names, and
            further options.

    Attributes:
        network: the `centernet.network.Network`, whose parts the further attributes are.
    """

    backbone, neck, heads = (_of_network(name) for name in ("backbone", "neck", "heads"))
    stride, num_classes, class_names = (_of_network(name) for name in ("stride", "num_classes", "class_names"))
    preprocessing, nms_iou, tracker = (_of_network(name) for name in ("preprocessing", "nms_iou", "tracker"))
    num_detections, calibration, lineage = (_of_network(n) for n in ("num_detections", "calibration", "lineage"))

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(Network(*args, **parts))

    @classmethod
    def of(cls, network: Network) -> CenterNet:
        """Make a model of a network."""
        model = cls.__new__(cls)
        DetectionModule.__init__(model, network)
        return model

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise images as `centernet.network.Network.normalize` does."""
        return self.network.normalize(images)

    def with_mirror(self, images: Tensor) -> dict[str, Any]:
        """Compute maps averaged with those of the mirror images, as `centernet.network.Network` has it."""
        return self.network.with_mirror(images)

    def decode_detections(
        self,
        encoded: dict[str, Tensor],
        num_detections: int | None = None,
        *,
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Decode the best boxes of each image from the maps of `forward`, as `centernet.network.Network` has it.

        Returns:
            `bboxes` N×K×4 float32 in input pixels, `labels` N×K int64, `scores` N×K float32, best first, and the
            columns of other heads.
        """
        return self.network.decode_detections(encoded, num_detections, score_threshold=score_threshold, labels=labels)

    def inference_detection(
        self, source: str | PathLike[str] | Sequence[Any], num_detections: int | None = None, *, batch_size: int = 8
    ) -> dict[str, NDArray[np.generic] | list[str]]:
        """Detect on an image, a folder (files sorted by name) or a list of images.

        Args:
            source: path of an image or a folder, or a list of paths or uint8 H×W×3 RGB arrays.
            num_detections: K boxes an image; None: the model's own, 100 unless training or its configuration said more.
            batch_size: images that go through the network together.

        Returns:
            `bboxes` N×K×4 float32 in original pixels, `labels` N×K int64, `scores` N×K float32, `paths` N strings.
        """
        return Detector(self.network, batch_size=batch_size).stacked(source, num_detections=num_detections)

    def inference_tracking(
        self,
        source: str | PathLike[str] | Sequence[Any],
        *,
        preset: str | None = None,
        frame_rate: float | None = None,
        num_detections: int | None = None,
        batch_size: int = 8,
        **options: Any,
    ) -> dict[str, list[Any]]:
        """Detect objects and follow them through a folder of frames (sorted by name), a video or a list.

        Args:
            source: path of the folder or video, or a list of paths or uint8 H×W×3 RGB arrays.
            preset: of `centernet.tracking.Tracker`; None for the model's own.
            frame_rate: frames per second; None for what a video or a sequence's seqinfo.ini says, else 30.
            num_detections: at most so many a frame; None: the model's own.
            batch_size: frames that go through the network together.
            options: those of `centernet.tracking.TrackerOptions` that are to differ from the preset's and, without
                another preset, the model's own.

        Returns:
            Lists with one entry a frame: `bboxes` arrays M×4 float32 in original pixels, `labels` M int64, `scores` M
            float32, `track_ids` M int64, the same through all frames; `paths` strings.
        """
        detector = Detector(self.network, score_threshold=0.0, num_detections=num_detections, batch_size=batch_size)
        opened = open_source(source)
        tracker = make_tracker(detector, frame_rate or opened.frame_rate or 30.0, preset=preset, **options)
        return collect(track(detector, tracker, opened))

    def calibrate(self, dataset: DetectionDataset, *, batch_size: int = 8) -> Calibration | None:
        """Fit the calibration of the scores, and the thresholds, on images that the model was not trained on.

        `save_pretrained`, checkpoints and exports carry it; a training fits it anew with each validation.

        Args:
            dataset: images with true boxes, of the model's classes.
            batch_size: images that go through the network together.

        Returns:
            The `calibration` that the model has now; None, and the scores are as the heads give them, where there were
            less than 50 right or 50 wrong detections of a score from .05 on.
        """
        network, names = self.network, dataset.class_names
        if network.class_names is not None and tuple(names) != tuple(network.class_names):
            raise ValueError(
                f"calibrate: the classes of the data are {', '.join(names)}, those of the model "
                f"{', '.join(network.class_names)}; MapClasses gives data the classes of a model"
            )
        self._decide(calibration=None)
        validation = Validation(names, None, network.tracker, calibrate=True)
        found = Detector(network, score_threshold=0.0, batch_size=batch_size).stream(
            [dataset.path(i) for i in range(len(dataset))]
        )
        for i, (_, detections) in enumerate(found):
            validation.update(dataset.annotation(i), detections)
        validation.compute()
        self._decide(calibration=validation.calibration)
        return validation.calibration

    def to_onnx(  # type: ignore[override]
        self, path: str | PathLike[str], images: Tensor | None = None, **options: Any
    ) -> Path:
        """Write an ONNX file with the decode in its graph, and run it against this model. Needs the extra `export`.

        Args:
            path: of the file, or of a folder of TensorFlow's model zoo.
            images: a sample input: float32 N×3×H×W (normalised, as `forward` takes them) or uint8 N×H×W×3 (images;
                the graph normalises them, which is also what None gives). The file takes any number and size.
            options: those of `centernet.export.ExportOptions`, such as `num_detections`, `letterbox` and `raw_maps`.

        Returns:
            The path written. Input: `images`; outputs: `bboxes`, `labels`, `scores`, and the columns of other heads.
        """
        return export(self.network, path, self._export_options(options), images, format="onnx")

    def to_torchscript(  # type: ignore[override]
        self, path: str | PathLike[str] | None = None, images: Tensor | None = None, **options: Any
    ) -> torch.jit.ScriptModule:
        """Trace the network with its decode, and write it where `path` is given. Arguments as of `to_onnx`."""
        with tempfile.TemporaryDirectory() as folder:
            file = path or Path(folder) / "model.pt"
            return read_script(export(self.network, file, self._export_options(options), images, format="torchscript"))

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | PathLike[str],
        map_location: torch.device | str | None = None,
        *,
        strict: bool = True,
        trust: Trust = False,
        **parts: Any,
    ) -> CenterNet:
        """Make a model with the weights and the configuration of a Lightning checkpoint; no config is needed beside it.

        Args:
            checkpoint_path: a file that `fit` wrote.
            map_location: where its tensors go.
            strict: every tensor of the network must be in the file, and the other way round.
            trust: as of `from_pretrained`.
            parts: constructor arguments, for a model that was not built from a configuration.

        Raises:
            FileNotFoundError, ValueError: the file, and what is wrong with it; a class that it may not name.
        """
        checkpoint = read_checkpoint(checkpoint_path, map_location)
        if parts:
            network = Network(**parts)
            network.load_state_dict(checkpoint["state_dict"], strict=strict)
            network.lineage = recorded_lineage(checkpoint, checkpoint_path)
        else:
            network = network_of_checkpoint(checkpoint, checkpoint_path, strict=strict, trust=trust)
        if map_location is not None:
            network.to(map_location)
        return cls.of(network).eval()

    @classmethod
    def from_pretrained(
        cls, name: str | PathLike[str], *, revision: str | None = None, trust: Trust = False
    ) -> CenterNet:
        """Load a trained model: one that comes with the package, a folder, or a repository of the Hugging Face Hub.

        Args:
            name: `coco-lite`, `voc-lite`, a folder that `save_pretrained` wrote, a Hub id such as `user/model`, or a
                published network of another project, as `zoo:mmdet/centernet-r18-dcn`, which is downloaded.
            revision: branch, tag or commit on the Hub.
            trust: True imports, and so runs, whatever module the model names for a class of its own; or the class
                paths that it may name. Without it parts of this package are built, and classes that the program has
                imported already.

        Raises:
            FileNotFoundError: there is no such model; the message lists the names.
            ValueError: what is wrong with it; a class that it may not name.
        """
        return cls.of(load_network(name, revision=revision, trust=trust)).eval()

    @classmethod
    def from_foreign(cls, path: str | PathLike[str], *, class_names: Sequence[str] | None = None) -> CenterNet:
        """Load a network of another project from its own file: the original CenterNet's, FairMOT's, TTFNet's …

        Its classes, preprocessing and way of decoding come with it; `centernet convert` also tells what was assumed.

        Args:
            path: of the file.
            class_names: in the order of the heatmap's channels; None takes those in the file, or those of the data set
                that published networks with so many classes were trained on.

        Raises:
            FileNotFoundError, ValueError: the file, and what is wrong with it.
        """
        return cls.of(open_foreign(path, class_names=class_names).network).eval()

    def save_pretrained(self, folder: str | PathLike[str]) -> Path:
        """Write configuration and weights (half precision) to a folder that `from_pretrained` reads.

        A README.md says what the model finds, the figures of its last validation and its lineage; one that somebody has
        written is left as it is. The texts of the licences lie beside it.
        """
        return save_network(self.network, folder, figures=self._figures())

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a CenterNet",
    ) -> str:
        """Write the files of `save_pretrained` to a Hub repository `user/model`, made where it does not exist.

        A README.md that is there already stays.

        Args:
            repo_id: `user/model`.
            private: of a new repository.
            token: of the account; that of `hf auth login` when None.
            commit_message: of the upload.

        Returns:
            The address of the commit. Needs the extra `hub`.
        """
        hub = require("huggingface_hub", "push_to_hub")
        api = hub.HfApi(token=token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            api.create_repo(repo_id, private=private, exist_ok=True)
            if api.file_exists(repo_id, CARD):  # somebody may have written it
                (Path(folder) / CARD).unlink()
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message))

    def _export_options(self, options: Mapping[str, Any]) -> ExportOptions:
        """Return the options of an export; the figures that a file states are those of the last validation."""
        return ExportOptions(**{"figures": self._figures(), **options})

    def _figures(self) -> Mapping[str, float] | None:
        return None if self.validated is None else self.validated.coco.stats
