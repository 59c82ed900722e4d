"""Looks into exported files before their runtime opens them: what would run code, or read other files, is refused.

torch's readers unpickle parts of a `.pt2` archive, import modules and evaluate texts that stand in it; a TorchScript
program may write files; an ONNX file may name others for its weights. `centernet export` writes none of these.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from centernet.archives import ADVICE, UntrustedFileError, check_archive
from centernet.documents import read_json_text
from centernet.files import read_file
from centernet.text import shown

# TorchScript ---------------------------------------------------------------------------------------------------------

_OPERATIONS = re.compile(rb"(?<![\w.])ops\s*\.\s*(\w+)\s*\.\s*(\w+)")
_REACHING_OUT = re.compile(rb"\b(save|from_file|rpc_\w+|_\w*file\w*)\s*\(")
_CLASSES = re.compile(rb"torch\s*\.\s*classes\s*\.\s*(\w+)")
_SPACES = (b"aten", b"prim", b"prims")


def check_torchscript(path: Path) -> None:
    """Raise a ValueError where a TorchScript file has operations of other libraries, or such as write or map files."""
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = (name.partition("/")[2] or name).lower()  # torch finds entries in any case
            if not (inner.startswith("code/") and inner.endswith(".py")) and not inner.endswith(".pkl"):
                continue
            text = archive.read(name).replace(b"\\\n", b" ")
            problem = None
            if found := _CLASSES.search(text):
                problem = f"an object of another library, {found[1].decode()}"
            elif inner.endswith(".py"):
                others = [b"::".join(pair) for pair in _OPERATIONS.findall(text) if pair[0] not in _SPACES]
                if others:
                    problem = f"the operation {others[0].decode()} of another library"
                elif found := _REACHING_OUT.search(text):
                    problem = f"the operation {found[1].decode()}, which reaches beyond the program"
            if problem is not None:
                raise UntrustedFileError(f"{path}: the TorchScript program has {problem}; {ADVICE}")


# Programs of torch.export --------------------------------------------------------------------------------------------

_PROGRAM_PARTS = re.compile(
    r"data/(weights|constants)/(weight_\d+|tensor_\d+|\w+_config\.json)|models/\w+\.json|data/sample_inputs/\w+\.pt|"
    r"extra/[\w.]+|archive_format|archive_version|version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
)
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+(\.\w+)?|torch\.ops\.higher_order\.(wrap_with_autocast|wrap_with_set_grad_enabled)|"
    r"torch\.sym_\w+|math\.\w+|"
    r"_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pos|abs|pow|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|index)"
)
_NO_TARGETS = ("from_file", "save")
_WORD = re.compile(r"[\w.]*")
_SYMBOL = re.compile(r"[a-z]+\d+")
_SPEC_TYPES = ("builtins.tuple", "builtins.list", "builtins.dict", None)
_FUNCTIONS = {
    *("Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv"),
    *("CeilToInt", "FloorToInt", "TruncToInt", "ToFloat", "IntTrueDiv", "FloatTrueDiv", "Eq", "Ne", "Lt", "Le", "Gt"),
    *("Ge", "And", "Or", "Not", "True", "False", "L"),
}
_EXPRESSION = (
    *(ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Compare),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd, ast.Not, ast.BoolOp, ast.And),
    *(ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)


def check_program(path: Path) -> None:
    """Raise a ValueError where a program of torch.export holds what its reader would unpickle, import or evaluate."""
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = {name.partition("/")[0] for name in names}
        other = [name for name in names if not _PROGRAM_PARTS.fullmatch(name.partition("/")[2])]
        if len(roots) != 1 or other:
            text = shown(other[0]) if other else f"{len(roots)} archives in one"
            raise _untrusted(path, f"holds more than a program of torch.export ({text})")
        for name in names:
            inner = name.partition("/")[2]
            if inner.startswith("data/sample_inputs/"):
                _check_inputs(path, archive.read(name))
            elif inner.endswith(".json") and not inner.startswith("extra/"):
                content = read_json_text(archive.read(name))
                _check_values(path, content, weights=inner.startswith("data/"))


def _untrusted(path: Path, problem: str) -> UntrustedFileError:
    return UntrustedFileError(f"{path}: {problem}, and would run code of its own; {ADVICE}")


def _check_inputs(path: Path, data: bytes) -> None:
    """Make sure that the sample inputs are tensors: torch's reader falls back to running what is in them."""
    import torch

    try:
        torch.load(io.BytesIO(data), weights_only=True) if data else None
    except Exception as error:
        raise _untrusted(path, "its sample inputs are no plain tensors") from error


def _check_values(path: Path, content: Any, *, weights: bool) -> None:
    for key, value in _pairs(content):
        if key == "use_pickle" and value:
            raise _untrusted(path, "its weights are pickled")
        if weights:
            if isinstance(value, str) and not _WORD.fullmatch(value) and key != "type":
                raise _untrusted(path, f"has the name {shown(value)[:60]}")
            continue
        problem = _problem_of(key, value)
        if problem is not None:
            raise _untrusted(path, problem)


def _problem_of(key: str, value: Any) -> str | None:
    """Say what is wrong with a value of a program; None where there is nothing."""
    if key in ("target", "as_operator") and isinstance(value, str):
        if not _TARGET.fullmatch(value) or set(value.split(".")) & set(_NO_TARGETS):
            return f"calls {shown(value)[:80]}"
    elif key == "expr_str":
        return None if _is_plain_expression(str(value)) else f"has the expression {shown(value)[:60]}"
    elif key == "guards_code":
        if not isinstance(value, list) or not all(_is_plain_guard(str(one)) for one in value):
            return f"has the conditions {shown(value)[:60]}"
    elif key == "range_constraints":
        if not isinstance(value, dict) or not all(map(_SYMBOL.fullmatch, value)):
            return "has other ranges than those of sizes"
    elif key in ("in_spec", "out_spec"):
        return None if _is_plain_spec(value) else "has inputs or outputs of other types than tuples, lists and dicts"
    elif key in ("as_custom_obj", "custom_obj_values", "treespec_namedtuple_fields", "class_fqn"):
        return f"has objects of other libraries ({key})" if value else None
    elif key in ("stack_trace", "nn_module_stack", "torch_fn", "as_string"):
        return None
    elif key == "source_fn_stack":
        parts = re.split(r"[,;]", str(value))
        return None if all(map(re.compile(r"[\w.\[\]' ]*").fullmatch, parts)) else "has functions as sources"
    elif key == "metadata" and isinstance(value, dict):
        known = {"stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack"}
        return f"has notes of another kind ({shown(sorted(set(value) - known)[0])})" if set(value) - known else None
    elif isinstance(value, str) and not re.fullmatch(r"[\w.+\-]*", value):
        return f"has the name {shown(value)[:60]}"
    return None


_FREE = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "in_spec", "out_spec", "guards_code")


def _pairs(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of all that is in plain values; entries of a list have the key of the list."""
    yield key, content
    if key in _FREE:
        return
    if isinstance(content, dict):
        for name, value in content.items():
            if not re.fullmatch(r"[\w.]*", name):
                yield "name", name
            yield from _pairs(value, name)
    elif isinstance(content, list):
        for value in content:
            yield from _pairs(value, key)


def _is_plain_expression(text: str, *, more: tuple[type, ...] = ()) -> bool:
    try:
        tree = ast.parse(text, mode="eval") if len(text) < 10_000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, (*_EXPRESSION, *more)):
            return False
        if isinstance(node, ast.Name) and node.id not in _FUNCTIONS and not _SYMBOL.fullmatch(node.id):
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, (ast.Name, ast.Attribute)):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in ("size", "stride", "storage_offset"):
            return False
        if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float, bool, str)):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"\w+", node.value):
            return False
    return tree is not None


def _is_plain_guard(text: str) -> bool:
    more = (ast.Attribute, ast.Subscript)
    return not set(text) & set('"\\\n\r') and _is_plain_expression(text, more=more)


def _is_plain_spec(value: Any) -> bool:
    try:
        content = read_json_text(value) if isinstance(value, str) else value
    except ValueError:
        return False
    for key, item in _pairs(content):
        if key == "type" and item not in _SPEC_TYPES:
            return False
        if key == "context" and item is not None and not re.fullmatch(r'null|\[\]|\["\w+"(, ?"\w+")*\]', str(item)):
            return False
        if key not in ("", "type", "context", "children_spec"):
            return False
    return True


# ONNX ----------------------------------------------------------------------------------------------------------------

_GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = range(1, 8)
_MESSAGES: dict[int, dict[int, int]] = {  # field of a message of onnx.proto → the message that it holds
    0: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
}
_EXTERNAL_DATA = 13
_DEEPEST = 200  # twice what readers of protobuf take
_LARGEST = (1 << 31) - 1  # bytes that a protobuf message may have
_MOST_FIELDS = 1_000_000  # of a model: a network has some ten thousand


def check_onnx(path: Path) -> None:
    """Raise a ValueError where an ONNX file has weights in files that are not in its folder."""
    folder = path.resolve().parent
    for location in external_files(read_file(path, most=_LARGEST)):
        name = Path(location)
        inside = not name.is_absolute() and ".." not in name.parts and ":" not in location[:2] and "\\" not in location
        place = (folder / name).resolve() if inside and "\0" not in location else None
        if place is None or not place.is_relative_to(folder):
            raise UntrustedFileError(
                f"{path}: its weights are in {shown(location)}, which is not in its folder: no such file is read"
            )
        if place.exists() and not place.is_file():
            raise UntrustedFileError(f"{path}: its weights are in {shown(location)}, which is no file")


def external_files(data: bytes) -> set[str]:
    """Return the names of the files that tensors of an ONNX model are in; a damaged model gives those before it."""
    found: set[str] = set()
    left = _MOST_FIELDS
    waiting = [(0, memoryview(data), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        for field, value in _fields(message):
            left -= 1
            if left < 0:
                raise ValueError(f"it has more than {_MOST_FIELDS:,} parts")
            if kind == _TENSOR:
                if field == _EXTERNAL_DATA:
                    entry = [(number, bytes(text)) for number, text in _fields(value)]
                    if (1, b"location") in entry:  # whichever of several counts
                        found |= {text.decode("utf-8", "surrogateescape") for number, text in entry if number == 2}
            elif (inner := _MESSAGES[kind].get(field)) is not None and depth < _DEEPEST:
                waiting.append((inner, value, depth + 1))
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (number, content) of the fields of a protobuf message that have a length, those within groups too; of
    others an empty one of number 0, so that they are counted."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        key &= 0xFFFFFFFF  # as readers of protobuf take it
        if not key >> 3:
            return
        if key & 7 in (0, 1, 5):
            place = _varint(message, place)[1] if key & 7 == 0 else place + (8 if key & 7 == 1 else 4)
            yield 0, message[:0]
        elif key & 7 == 2:
            length, place = _varint(message, place)
            if place + length <= len(message):
                yield key >> 3, message[place : place + length]
            place += length
        elif key & 7 not in (3, 4):  # the begin and the end of a group, which has no length
            return


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    return value, len(message)
