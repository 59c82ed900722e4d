"""From a trained model to files that other runtimes read; the decode is in each, and each says what it needs."""

from centernet.export.accuracy import accuracy
from centernet.export.onnx import export_onnx
from centernet.export.openvino import convert_to_openvino, export_openvino
from centernet.export.pt2 import compile_pt2, export_pt2
from centernet.export.quantize import quantize_onnx
from centernet.export.torchscript import export_torchscript

__all__ = [
    "accuracy",
    "compile_pt2",
    "convert_to_openvino",
    "export_onnx",
    "export_openvino",
    "export_pt2",
    "export_torchscript",
    "quantize_onnx",
]
