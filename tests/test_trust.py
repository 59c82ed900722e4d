"""What a model file names, holds or points at is looked at before it is imported, unpacked, run or read."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from centernet import CenterNet, Detector, build_centernet
from centernet.archives import check_archive
from centernet.cli.main import main
from centernet.configuration import PACKAGED, plain, read_yaml
from centernet.documents import DEPTH, NODES, DocumentError, read_json_text, read_yaml_text
from centernet.inference import inspection
from centernet.network import load_network
from centernet.trust import Door, UntrustedClassError, is_listed, texts_of, through

TINY: dict[str, Any] = {
    "class_names": ["cat"],
    "backbone": {"class_path": "MobileNetV2", "init_args": {}},
    "neck": {"class_path": "FPN", "init_args": {"width": 8}},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
        "box": {"class_path": "LTRBHead", "init_args": {"width": 8}},
    },
    "preprocessing": {"size": [64, 64]},
}


def checkpoint(path: Path, **changed: Any) -> Path:
    content = {"state_dict": {}, "hyper_parameters": {**TINY, **changed}, "pytorch-lightning_version": "2.6.0"}
    torch.save(content, path)
    return path


def spec(path: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": arguments}


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module on the path that leaves a file when it is imported."""
    marker = tmp_path / "imported"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    (tmp_path / "trap_module.py").write_text(f"{code}def run(*args): ...\nclass Neck: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trap_module", raising=False)
    return marker


@pytest.mark.parametrize(
    "changed",
    [
        {"neck": spec("trap_module.Neck")},
        {"neck": "trap_module.Neck"},
        {"neck": "trap_module.run"},
        {"backbone": spec("trap_module.Neck")},
        {"backbone": spec("centernet.network.backbones.Timm", name=spec("trap_module.Neck"))},
        {"backbone": {"class_path": "MobileNetV2", "init_args": {"download": "trap_module.run"}}},
        {"heads": {**TINY["heads"], "more": spec("trap_module.Neck")}},
        {"heads": {**TINY["heads"], "more": "trap_module.run"}},
        {"loss_weighting": spec("trap_module.Neck")},
        {"tracker": {"preset": spec("trap_module.Neck")}},
        {"preprocessing": spec("trap_module.Neck")},
        {"calibration": spec("trap_module.Neck")},
        {"num_detections": spec("trap_module.Neck")},
        {"neck": spec("centernet.network.necks.trap_module.Neck")},
        {"neck": spec("centernet.data.adapters.importlib.import_module")},
        {"neck": spec("os.system")},
        {"heads": {**TINY["heads"], "more": "os.system"}},
        {"neck": spec("subprocess.Popen", args=["touch", "imported"])},
    ],
)
def test_no_module_is_imported_for_a_checkpoint(changed: dict[str, Any], tmp_path: Path, trap: Path) -> None:
    path = checkpoint(tmp_path / "evil.ckpt", **changed)
    with pytest.raises(ValueError):
        load_network(path)
    assert not trap.exists() and "trap_module" not in sys.modules


@pytest.mark.parametrize("name", ["antigravity.Neck", "this.Zen", "trap_module.Neck"])
def test_the_message_names_the_class_and_the_way(name: str, tmp_path: Path, trap: Path) -> None:
    path = checkpoint(tmp_path / "evil.ckpt", neck=spec(name))
    for load in (load_network, CenterNet.load_from_checkpoint, Detector):
        with pytest.raises(UntrustedClassError, match=rf"evil\.ckpt: names the class {name} .*--trust .*trust=True"):
            load(path)
    assert name.partition(".")[0] not in sys.modules or name.startswith("this")


def test_trust_imports_what_it_says(
    tmp_path: Path, trap: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint(tmp_path / "own.ckpt", neck=spec("trap_module.Neck"))
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(path), "--trust"]) == 1  # it is no neck
    assert trap.exists() and "imports trap_module" in capsys.readouterr().out


@pytest.mark.parametrize("start", [{"pretrained": True}, {"weights": "/etc/hostname"}])
@pytest.mark.parametrize("form", ["init_args", "text", "dict_kwargs", "dotted"])
def test_a_trained_model_is_not_begun_with_other_weights(
    form: str, start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: Any, **__: Any) -> Any:
        raise AssertionError("opened or downloaded")

    from centernet.network.backbones import backbone

    monkeypatch.setattr(backbone, "_download", no)
    monkeypatch.setattr(backbone, "read_weights", no)
    part: dict[str, Any] = {"class_path": "MobileNetV2", "init_args": start}
    if form == "text":
        part = yaml.safe_dump(part, default_flow_style=True)
    elif form == "dict_kwargs":
        part = {"class_path": "MobileNetV2", "init_args": {}, "dict_kwargs": start}
    elif form == "dotted":
        part = {"class_path": "MobileNetV2", **{f"init_args.{key}": value for key, value in start.items()}}
    path = tmp_path / "m.ckpt"
    state = build_centernet({"model": TINY}).network.state_dict()
    torch.save({"state_dict": state, "hyper_parameters": {**TINY, "backbone": part}}, path)
    load_network(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": {"class_path": "MobileNetV2", "init_args": "{pretrained: true}"}},
        {"backbone": {"class_path": "MobileNetV2", "init_args": [1]}},
        {"num_detections": 10**12},
    ],
)
def test_other_values_than_a_model_has(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        load_network(checkpoint(tmp_path / "m.ckpt", **changed))


def test_a_folder_goes_through_the_same_door(tmp_path: Path, trap: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((PACKAGED / "voc-lite" / "model.safetensors").read_bytes())
    config = read_yaml(PACKAGED / "voc-lite" / "config.yaml")
    config["model"]["neck"] = spec("trap_module.Neck")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UntrustedClassError, match=r"config\.yaml: names the class trap_module\.Neck"):
        CenterNet.from_pretrained(folder)
    assert not trap.exists()


def test_what_a_configuration_names_is_the_users_own(tmp_path: Path, trap: Path) -> None:
    with pytest.raises(ValueError, match="trap_module"):
        build_centernet({"model": {**TINY, "neck": "trap_module.Neck"}})
    assert trap.exists()
    door = Door("x.ckpt", texts_of({"model": {"neck": spec("mine.Neck")}}))
    door.check("mine.Neck")
    with pytest.raises(UntrustedClassError):
        door.check("mine.Other")


def test_parts_of_the_package_are_on_the_list() -> None:
    network = build_centernet({"model": TINY}).network
    paths = [part["class_path"] for part in (*network.hyper_parameters["heads"].values(),)]
    paths += [network.hyper_parameters[key]["class_path"] for key in ("backbone", "neck")]
    assert all("." in path and is_listed(path) for path in paths), paths
    assert is_listed("centernet.models.heads.HeatmapHead"), "as earlier versions have it"
    for path in ("centernet.cli.main.main", "centernet.data._private.X", "torch.load", "torch.optim.sys", "timm.X"):
        assert not is_listed(path)


def test_transforms_that_a_checkpoint_records_go_through_the_door(tmp_path: Path, trap: Path) -> None:
    from centernet.data import adapters

    file = tmp_path / "transforms.yaml"
    file.write_text(yaml.safe_dump([spec("trap_module.Neck")]))
    with through(Door("x.ckpt")):
        for transforms in ([spec("trap_module.Neck")], str(file), [spec("json.load")]):
            with pytest.raises(UntrustedClassError):
                adapters._build(transforms, json)
    assert not trap.exists()
    with through(Door("x.ckpt", {str(file)})):
        adapters._build(str(file), json)
    assert trap.exists(), "who names the file trusts what is in it"


def test_a_network_that_is_larger_than_its_weights_is_not_built(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "bomb.ckpt", class_names=None, num_classes=10**9)
    with pytest.raises(ValueError, match=r"bomb\.ckpt: describes a network of more than"):
        load_network(path)


def test_values_that_hold_one_another_again_and_again(tmp_path: Path) -> None:
    laughs: Any = ["x"]
    for _ in range(20):
        laughs = [laughs] * 10
    with pytest.raises(ValueError, match="stands for more than"):
        load_network(checkpoint(tmp_path / "laughs.ckpt", tracker={"preset": laughs}))
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(DocumentError, match="holds itself"):
        plain(itself)


class TestDocuments:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
                f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)
            ), "aliases"),
            ("&a [*a]", "itself"),
            ("&a {x: *a}", "itself"),
            ("a: &a {x: 1}\n" + "".join(
                f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 10)}]}}\n" for i in range(9)
            ), "aliases"),
            ("[" * 5000, "in one another"),
            ("{a: " * 400 + "1" + "}" * 400, "in one another"),
            ("".join(f"{i}: &a{i} [{f'*a{i - 1}' if i else 'x'}]\n" for i in range(1000)), "in one another"),
            ("- " * 3000 + "x", "in one another"),
            ("!!python/object/apply:os.system [x]", "python"),
            ("2020-99-99", ""),
            ("? [a]\n: 1", ""),
            ("x: " + "9" * 10000, ""),
            ("\x00", ""),
            ("1" + ":59" * 400_000, "number of 1,200,001 characters"),
        ],
    )  # fmt: skip
    def test_yaml_that_is_refused(self, text: str, problem: str) -> None:
        with pytest.raises(DocumentError, match=problem or None):
            read_yaml_text(text)

    def test_yaml_within_the_limits(self) -> None:
        assert read_yaml_text("[" * (DEPTH - 1) + "]" * (DEPTH - 1))
        assert read_yaml_text("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
        assert read_yaml_text("a: 1", texts=True) == {"a": "1"} and NODES >= 1_000_000

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "", "{", "\ud800", b"\xff\xfe\x00"])
    def test_json_that_is_refused(self, text: str) -> None:
        with pytest.raises(DocumentError):
            read_json_text(text)


class Runs:
    def __reduce__(self) -> Any:
        return eval, ("1/0",)


def archive(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..\\x", "C:x"])
def test_entries_that_lead_out_of_an_archive(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out"):
        check_archive(archive(tmp_path / "a.zip", {name: b"1"}))


def test_archives_that_lie_about_their_size(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.ckpt", {"a/data.pkl": b"\0" * 50_000_000}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="times its size"):
        load_network(bomb)
    data = bytearray(archive(tmp_path / "a.zip", {"a": b"x" * 100}).read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 20 : at + 24] = data[at + 24 : at + 28] = (99).to_bytes(4, "little")
    (tmp_path / "lie.zip").write_bytes(data)
    with pytest.raises(ValueError, match="lies about its size"):
        check_archive(tmp_path / "lie.zip")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as file:
        file.writestr("a", b"1")
        file.writestr("a", b"2")
    with pytest.raises(ValueError, match="two entries"):
        check_archive(tmp_path / "twice.zip")


def test_archives_in_which_programs_find_different_entries(tmp_path: Path) -> None:
    data = archive(tmp_path / "a.zip", {"a": b"1"}).read_bytes()
    at, end = data.index(b"PK\1\2"), len(data) - 22
    large = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, end - at, at)
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    good, evil = data[:end] + large + locator + data[end:], locator.replace(struct.pack("<Q", end), bytes(8))
    torch.save({"a": torch.zeros(3)}, tmp_path / "torch.zip")
    for content in (data, good, (tmp_path / "torch.zip").read_bytes()):
        (tmp_path / "b.zip").write_bytes(content)
        check_archive(tmp_path / "b.zip")
    for content in (data + data, b"#!" + data, data + b"behind", data[:end] + large + evil + data[end:]):
        (tmp_path / "b.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"list of entries|is no whole ZIP"):
            check_archive(tmp_path / "b.zip")


class Writes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("x.bin", shared=True, size=4)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_that_reaches_beyond_itself(tmp_path: Path) -> None:
    plain_one, evil = tmp_path / "plain.pt", tmp_path / "evil.pt"
    torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())).save(str(plain_one))
    inspection.check_torchscript(plain_one)
    torch.jit.script(Writes()).save(str(evil))
    with pytest.raises(ValueError, match=r"evil\.pt: the TorchScript program has the operation from_file.*--trust"):
        Detector(evil)
    codes = (b"ops.custom.run(x)", b"x.save('f')", b"torch.save(x, 'f')", b"a = __torch__.torch.classes.mine.Run")
    spaced = (b"ops . custom . run(x)", b"torch . save (x)", b"torch.\\\nclasses .mine.Run", b"torch. \\\n save\\\n(x)")
    for place, code in [*((place, code) for code in codes for place in ("code/x.py", "CODE/X.PY")), *enumerate(spaced)]:
        name = place if isinstance(place, str) else "code/__torch__.py"
        path = archive(tmp_path / "m.pt", {f"m/{name}": b"def f(x):\n  return " + code, "m/data.pkl": b""})
        with pytest.raises(ValueError, match="TorchScript program has"):
            inspection.check_torchscript(path)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is in the file of a program of torch.export."""
    path = tmp_path_factory.mktemp("program") / "m.pt2"
    batch = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(nn.Linear(3, 2), (torch.zeros(2, 3),), dynamic_shapes=({0: batch},))
        torch.export.save(program, path)
    inspection.check_program(path)
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


class TestPrograms:
    """torch's reader of `.pt2` unpickles, imports and evaluates parts of a file."""

    @pytest.mark.parametrize(
        ("part", "change"),
        [
            ("models/model.json", lambda t: t.replace("torch.ops.aten.linear.default", "torch.hub.load")),
            ("models/model.json", lambda t: t.replace("torch.ops.aten.linear.default", "torch.ops.aten.from_file")),
            ("models/model.json", lambda t: t.replace("torch.ops.aten.linear.default", "_operator.attrgetter")),
            ("models/model.json", lambda t: t.replace("Symbol(", "__import__('os').system(", 1)),
            ("models/model.json", lambda t: t.replace('"guards_code": []', '"guards_code": ["print(1)"]')),
            ("models/model.json", lambda t: t.replace('"name": "input"', '"name": "x=print(1)"')),
            ("models/model.json", lambda t: t.replace("builtins.tuple", "collections.namedtuple")),
            ("models/model.json", lambda t: t.replace('\\"context\\": \\"[]\\"',
                                                      '\\"context\\": \\"{\\\\\\"__enum__\\\\\\": true}\\"')),
            ("data/weights/model_weights_config.json",
             lambda t: t.replace('"use_pickle": false', '"use_pickle": true')),
        ],
    )  # fmt: skip
    def test_what_would_run_code_is_refused(
        self, part: str, change: Callable[[str], str], entries: dict[str, bytes], tmp_path: Path
    ) -> None:
        (name,) = [name for name in entries if name.endswith(part)]
        before = entries[name].decode()
        after = change(before)
        assert after != before
        path = archive(tmp_path / "evil.pt2", entries | {name: after.encode()})
        with pytest.raises(ValueError, match=r"evil\.pt2: .*would run code of its own; .*--trust"):
            inspection.check_program(path)

    def test_pickles_are_refused(self, entries: dict[str, bytes], tmp_path: Path) -> None:
        buffer = io.BytesIO()
        torch.save(Runs(), buffer)
        (inputs,) = [name for name in entries if "sample_inputs" in name]
        for more in (
            {inputs: buffer.getvalue()},
            {f"{inputs.partition('/')[0]}/data/constants/custom_obj_0": pickle.dumps(1)},
            {f"{inputs.partition('/')[0]}/data/aotinductor/model/x.so": b"1"},
            {"other/models/model.json": b"{}"},
        ):
            with pytest.raises(ValueError, match="would run code"):
                inspection.check_program(archive(tmp_path / "evil.pt2", entries | more))


def field(number: int, data: bytes) -> bytes:
    head, length = number << 3 | 2, len(data)
    assert head < 1 << 14 and length < 1 << 14
    packed = b"".join(bytes([n & 127 | 128, n >> 7]) for n in (head, length))
    return packed + data


@pytest.mark.parametrize("place", ["/etc/passwd", "../x.bin", "a/../../x", "link.bin"])
def test_onnx_weights_outside_the_folder(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to("/etc/passwd")
    tensor = field(13, field(1, b"location") + field(2, place.encode()))
    attribute, node = field(5, tensor), field(1, field(5, field(5, tensor)))
    for graph in (field(5, tensor), node, field(1, field(5, field(6, field(5, tensor)))), field(15, field(1, tensor))):
        (folder / "m.onnx").write_bytes(field(7, graph))
        with pytest.raises(ValueError, match="not in its folder"):
            inspection.check_onnx(folder / "m.onnx")
    begin, end, nested = b"\x4b", b"\x4c", field(5, attribute)  # of a group, field 9
    for _ in range(30):
        nested = field(5, field(6, field(1, nested)))
    hidden = field(13, field(1, b"location") + begin + field(1, b"other") + end + field(2, place.encode()))
    evil = field(7, field(5, tensor))
    wide = bytes([evil[0] | 128, 0x80 | evil[1], 0x80, 0x80, 0x10]) + evil[2:]  # a key beyond 32 bits
    for content in (begin + end + evil, field(7, begin + end + field(5, tensor)), field(7, field(5, hidden)), wide,
                    field(7, field(1, nested))):  # fmt: skip
        (folder / "m.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="not in its folder"):
            inspection.check_onnx(folder / "m.onnx")
    (folder / "m.onnx").write_bytes(field(25, field(7, field(5, attribute))))
    with pytest.raises(ValueError, match="not in its folder"):
        inspection.check_onnx(folder / "m.onnx")
    (folder / "m.onnx").write_bytes(field(7, field(5, field(13, field(1, b"location") + field(2, b"beside.bin")))))
    inspection.check_onnx(folder / "m.onnx")
    os.mkfifo(folder / "beside.bin") if hasattr(os, "mkfifo") else (folder / "beside.bin").mkdir()
    with pytest.raises(ValueError, match="is no file"):
        inspection.check_onnx(folder / "m.onnx")


def test_an_onnx_file_of_parts_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_MOST_FIELDS", 1000)
    for content in (b"\x08\0" * 2000, field(7, b"\x0d1234" * 2000), field(7, b"\x0a\0" * 2000)):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="more than 1,000 parts"):
            inspection.check_onnx(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(bytes(100_000))
    inspection.check_onnx(tmp_path / "m.onnx")


def test_an_xml_that_is_of_another_format(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    tensor = field(13, field(1, b"location") + field(2, b"/etc/passwd"))
    (tmp_path / "m.xml").write_bytes(field(7, field(5, tensor)))
    (tmp_path / "m.bin").touch()
    with pytest.raises(ValueError, match="does not begin as XML"):
        Detector(tmp_path / "m.xml")


def test_a_checkpoint_at_an_address_is_read_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Path
) -> None:
    from centernet.training import resuming

    evil = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "x": Runs()}, evil)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    fetched = resuming.fetched_checkpoint(evil.as_uri())
    assert fetched.is_file() and fetched.is_relative_to(tmp_path / "hub")
    with pytest.raises(ValueError, match="tensors and plain values"):
        resuming.open_checkpoint(fetched)
