"""Ordinary picture files, with OpenCV where it can: it releases the interpreter's lock."""

import io
import struct

import cv2
import numpy as np

from competition.decoders.headers import (
    BITS,
    EXTRA_SAMPLES,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    cut_short,
    foreign_format,
    format_of,
    has_webp_exif,
    tiff_tags,
)
from competition.errors import DataError

AGAIN = (
    "Download the data again: delete its folder first. Where Kaggle's own file is damaged, remove its row from the "
    "training table, or put any image in the place of a test row's; `python -m competition check` names all such files"
)


def decode_picture(encoded: bytes, channels: int, where: str) -> np.ndarray:
    """Decode a picture to (H, W, channels), RGB or grey, in the type that it is stored in.

    A rotation in its EXIF data is carried out. Alpha is dropped: a transparent pixel has the colour it was stored with.
    A TIFF of signed, wide or floating-point numbers keeps its one or three planes. Of several frames the first counts.

    Raises DataError for a file that is cut short or not a picture.
    """
    kind = format_of(encoded)
    if not encoded or cut_short(encoded):
        raise DataError(f"{where}: the image is empty or cut short. {AGAIN}")
    if kind == "gif" or (kind == "webp" and has_webp_exif(encoded)):  # what older versions of OpenCV cannot
        return _decode_with_pillow(encoded, channels, where)
    return _decode_tiff(encoded, channels, where) if kind == "tif" else _decode(encoded, _flags(channels), where)


def _decode_tiff(encoded: bytes, channels: int, where: str) -> np.ndarray:
    tags = tiff_tags(encoded)
    # OpenCV converts only ordinary numbers; of signed RGB it returns what happened to be in memory.
    if tags.get(SAMPLE_FORMAT, 1) != 1 or tags.get(BITS, 1) > 16:
        image = _decode(encoded, cv2.IMREAD_UNCHANGED, where)
        return image[:, :, 2::-1] if image.shape[2] > 1 else image
    if tags.get(EXTRA_SAMPLES) == 2 and tags.get(BITS) == 8:  # OpenCV would darken transparent pixels
        return _decode_with_pillow(encoded, channels, where)
    image = _decode(encoded, _flags(channels), where)
    inverted = tags.get(PHOTOMETRIC) == 0 and image.dtype == np.uint16  # OpenCV sees to 8 bits only
    return ~image if inverted else image


def _flags(channels: int) -> int:
    return cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE)


def _decode(encoded: bytes, flags: int, where: str) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"{where}: cannot be decoded: {error}") from error
    if image is None:
        foreign = foreign_format(encoded)
        raise DataError(f"{where}: {foreign or f'not an image that OpenCV can decode. {AGAIN}'}")
    return image.reshape(*image.shape[:2], -1)


# What Pillow raises for damaged files, beside its own.
_DAMAGED = (EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)


def _decode_with_pillow(encoded: bytes, channels: int, where: str) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB" if channels == 3 else "L")
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: not an image that Pillow can decode ({error}). {AGAIN}") from error
    return np.asarray(image).reshape(image.height, image.width, channels)
