"""What an image file's header says: size, channels, and how many bits each has. No pixel is decoded."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from competition.decoders.headers import BITS, format_of, tiff_tags
from competition.errors import DataError
from competition.images import Picture

# Pillow's modes
_MODES = {
    "1": ("grey", "1 bit"),
    "L": ("grey", "8 bit"),
    "LA": ("grey + alpha", "8 bit"),
    "P": ("palette", "8 bit"),
    "RGB": ("RGB", "8 bit"),
    "RGBA": ("RGB + alpha", "8 bit"),
    "CMYK": ("CMYK", "8 bit"),
    "YCbCr": ("RGB", "8 bit"),
    "I": ("grey", "32 bit"),
    "I;16": ("grey", "16 bit"),
    "I;16B": ("grey", "16 bit"),
    "F": ("grey", "float32"),
}
# What Pillow, NumPy and pydicom raise for a damaged header
_DAMAGED = (AttributeError, EOFError, IndexError, KeyError, OSError, SyntaxError, TypeError, ValueError, struct.error)
_CHANNELS = {1: "grey", 2: "2 planes", 3: "RGB", 4: "RGB + alpha"}
ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True, slots=True)
class Header:
    """width and height as stored, in pixels; rotated: whether EXIF data turn the image when it is shown."""

    format: str
    width: int
    height: int
    channels: str
    depth: str
    rotated: bool = False


def describe_picture(picture: Picture) -> tuple[Header, ...]:
    """The headers of a picture's files. Raises as `describe_file`."""
    if picture.index is not None:
        return (_array("array", np.load(picture.path, mmap_mode="r", allow_pickle=False)[picture.index]),)
    return tuple(describe_file(path) for path in picture.files)


def describe_file(path: Path) -> Header:
    """The header of an image file, whatever its name. Raises DataError when nothing here understands it."""
    try:
        with path.open("rb") as file:
            kind = format_of(file.read(132))
        match kind:
            case "npy":
                return _array("npy", np.load(path, mmap_mode="r", allow_pickle=False))
            case "npz":
                with np.load(path, allow_pickle=False) as archive:
                    return _array("npz", archive[archive.files[0]])
            case "dcm":
                return _dicom(path)
        return _picture(path)
    except _DAMAGED as error:
        raise DataError(f"{path}: its header cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _picture(path: Path) -> Header:
    from PIL import Image, UnidentifiedImageError

    encoded = path.read_bytes()
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            channels, depth = _MODES.get(image.mode, (image.mode, "8 bit"))
            # Pillow opens a PNG or TIFF of 16-bit colours as one of 8 bits.
            bits = encoded[24] if image.format == "PNG" else tiff_tags(encoded).get(BITS)
            if bits == 16:
                depth = "16 bit"
            turned = image.getexif().get(ORIENTATION, 1) != 1
            return Header(image.format.lower(), image.width, image.height, channels, depth, turned)
    except UnidentifiedImageError:  # a TIFF of 16-bit colours
        array = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED) if encoded else None
        if array is None:
            raise DataError(f"{path}: not an image") from None
        planes = array.shape[2] if array.ndim == 3 else 1
        height, width, channels = *array.shape[:2], _CHANNELS.get(planes, f"{planes} planes")
        return Header(path.suffix[1:].lower(), width, height, channels, _depth(array.dtype))


def _array(format: str, array: np.ndarray) -> Header:
    if array.ndim == 3 and array.shape[0] <= array.shape[2]:
        planes, height, width = array.shape
    elif array.ndim in (2, 3):
        height, width, planes = (*array.shape, 1)[:3]
    else:
        raise ValueError(f"an array of shape {array.shape} is no image")
    return Header(format, width, height, f"{planes} plane{'s' if planes > 1 else ''}", _depth(array.dtype))


def _dicom(path: Path) -> Header:
    try:
        import pydicom
    except ImportError as error:
        raise DataError(f"{path} is a DICOM file: pip install -r requirements-dicom.txt") from error
    file = pydicom.dcmread(path, stop_before_pixels=True)
    colours = "grey" if file.get("SamplesPerPixel", 1) == 1 else "RGB"
    return Header(
        "dicom", int(file["Columns"].value), int(file["Rows"].value), colours, f"{file['BitsStored'].value} bit"
    )


def _depth(dtype: np.dtype) -> str:
    return f"{8 * dtype.itemsize} bit" if dtype.kind in "iu" else dtype.name
