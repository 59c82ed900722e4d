"""Images as programs hand them over: NumPy arrays, PIL images and torch tensors as uint8 H×W×3 RGB."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .depth import RangeError, to_8_bits
from .kinds import left_unread, raw_problem, undeclared_bands
from .opened import ImageError, to_rgb, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXPECTED = (
    "a path, bytes or a binary file of an image, a PIL image, a uint8 array H×W×3 (RGB), H×W×4 or H×W, or a uint8 "
    "tensor 3×H×W"
)


def is_image(item: Any) -> bool:
    """Return True for an array, a PIL image or a tensor."""
    return isinstance(item, (np.ndarray, Image.Image)) or is_tensor(item)


def is_tensor(item: Any) -> bool:
    """Return True for a tensor of torch, which is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(item, torch.Tensor)


def own_copy(item: Any) -> Any:
    """Return a copy of an array or a tensor; anything else as it is."""
    return item.clone() if is_tensor(item) else item.copy() if isinstance(item, np.ndarray) else item


def as_rgb(image: Any, *, bgr: bool = False) -> NDArray[np.uint8]:
    """Return an image as uint8 H×W×3, RGB; an array that is one comes back itself.

    Args:
        image: a uint8 array H×W×3, H×W×4 (the fourth is alpha, laid over white), H×W or H×W×1; a uint8 tensor of torch
            with the channels first; or a PIL image, turned upright as its EXIF says.
        bgr: the channels of arrays and tensors are blue, green, red, as OpenCV has them.

    Raises:
        ImageError: another type, shape or dtype; the message has the conversion.
    """
    if isinstance(image, Image.Image):
        return _of_pil(image)
    if is_tensor(image):
        image = _of_tensor(image)
    if not isinstance(image, np.ndarray):
        none = " (cv2.imread gives None for what it cannot read: give the path itself)" if image is None else ""
        raise ImageError(f"expected {EXPECTED}, got {type(image).__name__}{none}")
    check_dtype(image)
    shape = image.shape
    if 0 in shape or image.ndim not in (2, 3) or (image.ndim == 3 and shape[2] not in (1, 3, 4)):
        first = image.ndim == 3 and shape[0] in (1, 3, 4)
        way = "; its channels are first: image.transpose(1, 2, 0)" if first else ""
        raise ImageError(f"expected a uint8 array H×W×3 (RGB), H×W×4 or H×W, got one of shape {shape}{way}")
    if image.ndim == 2 or shape[2] == 1:
        return np.repeat(image.reshape(*shape[:2], 1), 3, axis=2)
    colours = image[..., 2::-1] if bgr else image[..., :3]
    if shape[2] == 3:
        return colours if bgr else image
    alpha = image[..., 3:].astype(np.uint16)
    return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def check_dtype(image: NDArray[Any]) -> None:
    """Raise an ImageError that has the conversion unless an array is of uint8."""
    kind = image.dtype.kind
    if image.dtype == np.uint8:
        return
    if kind == "b":
        way = "image.astype(np.uint8) * 255"
    elif kind == "f":
        largest = float(np.nanmax(image, initial=0))
        values = "image * 255" if largest <= 1 else "image"
        way = f"np.clip({values}, 0, 255).round().astype(np.uint8), as its largest value is {largest:g}"
    elif kind in "iu":
        largest = int(image.max(initial=0))
        way = "image.astype(np.uint8)" if largest <= 255 else f"(image / {max(largest, 1)} * 255).astype(np.uint8)"
        way += f", as its largest value is {largest}; or save it as 16-bit PNG and give the path"
    else:
        way = "list(array) gives the images one by one" if kind in "OUS" else "take its real part"
    raise ImageError(f"expected a uint8 array H×W×3 (RGB), got {image.dtype} of shape {image.shape}; convert it: {way}")


def _of_tensor(tensor: Any) -> NDArray[Any]:
    """Return a tensor C×H×W as an array H×W×C."""
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    if dtype != "uint8":
        scaled = tensor.is_floating_point() and tensor.numel() > 0 and float(tensor.max()) <= 1
        way = f"{'(tensor * 255)' if scaled else 'tensor'}{'.round()' * tensor.is_floating_point()}.to(torch.uint8)"
        text = f"got {dtype} of shape {shape}; convert it: {way}, values 0..255"
        raise ImageError(f"expected a uint8 tensor 3×H×W, {text}. Normalised images are for model(images)")
    if tensor.ndim != 3 or shape[0] not in (1, 3, 4):
        way = "; its channels are last: tensor.permute(2, 0, 1)" if tensor.ndim == 3 and shape[2] in (1, 3, 4) else ""
        raise ImageError(f"expected a uint8 tensor 3×H×W, got one of shape {shape}{way}")
    array: NDArray[Any] = tensor.detach().cpu().permute(1, 2, 0).numpy()
    return array


def _of_pil(image: Image.Image) -> NDArray[np.uint8]:
    """Return a PIL image upright and in RGB; more than 8 bits are scaled as those of a file are."""
    name = str(getattr(image, "filename", "") or "the PIL image")
    if image.format == "TIFF" and os.path.isfile(name) and (problem := raw_problem(name, name)):
        raise ImageError(problem)
    if image.format is not None and image.tell() == 0:  # who has chosen another frame knows of them
        for note in left_unread(image):
            warnings.warn(f"{name}: {note}", stacklevel=3)
    try:
        image.load()
        deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
        shown = Image.fromarray(to_8_bits(np.asarray(image))) if deep else image
        return upright(np.array(to_rgb(shown, name, opaque=undeclared_bands(image) > 0)), image)
    except ImageError:
        raise
    except RangeError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:  # Pillow raises whatever the damaged bytes lead to
        raise ImageError(f"{name}: cannot be read ({error})") from error
