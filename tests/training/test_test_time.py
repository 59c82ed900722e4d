"""The options of a test in validation: each changes what is found, and the figures are those of what is found then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from centernet import Detector, build_centernet
from centernet.cli import fit
from centernet.data import Synthetic
from centernet.training.test_time import TestTimeLook


@pytest.fixture
def data() -> Synthetic:
    """Images that are no files, of another size than the input."""
    return Synthetic(3, size=(90, 120), seed=1)


def look(model: Any, data: Synthetic, **options: Any) -> np.ndarray:
    found = TestTimeLook(model.network, data, **options)([data.annotation(i) for i in range(len(data))])
    return np.stack([one.scores for one in found])


def test_each_option_changes_what_is_found(model: Any, data: Synthetic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.network, "preprocessing", replace(model.preprocessing, resize="keep_res"))
    plain = look(model, data)
    images = [data.image(i).read()[0] for i in range(len(data))]
    expected = [one.scores for one in Detector(model, score_threshold=0.0)(images)]
    np.testing.assert_allclose(plain, expected, atol=1e-6)
    options: list[dict[str, Any]] = [{"flip": True}, {"scales": (1.0, 0.5)}, {"soft_nms": True}]
    for given in options:
        assert np.abs(look(model, data, **given) - plain).max() > 1e-6, given
    assert (look(model, data, soft_nms=True) <= plain + 1e-6).all()  # scores are lowered alone


def test_scales_need_a_rule_that_has_them(model: Any, data: Synthetic) -> None:
    with pytest.raises(ValueError, match=r"preprocessing\.scale"):
        TestTimeLook(model.network, data, scales=(1.0, 0.5))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*treespec.*", "ignore:.*many workers.*")
def test_the_command_looks_again(tiny: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    look = TestTimeLook.__call__
    monkeypatch.setattr(TestTimeLook, "__call__", lambda self, images: seen.append(self) or look(self, images))  # type: ignore[func-returns-value]
    command = ["--config", tiny(model__preprocessing__resize="fix_res"), "--output", str(tmp_path)]
    run = fit.Run([*command, "--flip", "--scales", "[1, 0.5]", "--soft-nms"], "validate")
    run.validate()
    assert run.model.validated is not None and len(seen) == 2  # eight images, four at a time
    detector = seen[0].detector
    assert detector.runtime.flip and detector.scales == (1.0, 0.5) and detector.soft_nms
    fit.run(command, "validate")
    assert len(seen) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*treespec.*", "ignore:.*many workers.*")
def test_weights_of_a_model_without_class_names_in_the_configuration(tiny: Any, tmp_path: Any) -> None:
    """The names of the data say which channel is which, as those of a converted model of COCO's classes do."""
    config = tiny()
    given = build_centernet(config)
    given.network.class_names = Synthetic(8, size=(64, 64), seed=1).class_names
    given.network.hyper_parameters["class_names"] = list(given.network.class_names)
    given.save_pretrained(tmp_path / "given")
    run = fit.Run(["--config", config, "--output", str(tmp_path), "--start_from", str(tmp_path / "given")], "validate")
    run.validate()
    assert run.model.validated is not None
    for name, value in given.network.heads.state_dict().items():
        np.testing.assert_allclose(run.model.network.heads.state_dict()[name], value, atol=1e-3)
