"""DICOM files, with pydicom, which only the contests that have such files need."""

import io
import struct
import zlib
from typing import Any

import numpy as np

from competition.decoders.headers import LIMIT
from competition.decoders.scaling import to_bytes, to_planes
from competition.errors import DataError
from competition.spec_parts import Pixels

# What pydicom raises for a file that lacks elements, is cut short, or holds values that make no sense.
_DAMAGED = (AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, struct.error)


def read_dicom(encoded: bytes, pixels: Pixels, where: str) -> np.ndarray:
    """The first frame of a DICOM file as (H, W, 1 or 3) uint8, as a viewer shows it.

    Grey values are brought to the modality's unit (Hounsfield in a CT), then windowed: by `pixels.window`, else
    `pixels.range`, else the file's own lookup table or first window, else from its least to its greatest value.
    MONOCHROME1, where the least value is white, is inverted. Colours become RGB. (DICOM PS3.3, C.7.6.3 and C.11.)

    Raises DataError when pydicom or a decoder is missing, and for a damaged file.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
    except ImportError as error:
        raise DataError(f"{where} is a DICOM file: pip install -r requirements-dicom.txt") from error
    try:
        file = pydicom.dcmread(io.BytesIO(encoded))
        _refuse_what_cannot_be_decoded(file, where)
        stored = pixel_array(file, index=0)
        if file.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, file)
        if stored.ndim == 3:
            return to_bytes(stored, pixels.range, where)
        grey = _windowed(apply_modality_lut(stored, file), file, pixels, where)
        return to_planes(255 - grey if file.PhotometricInterpretation == "MONOCHROME1" else grey, where)
    except (*_DAMAGED, zlib.error) as error:
        raise DataError(f"{where}: not a whole DICOM image: {error}. Download the data again.") from error


def _refuse_what_cannot_be_decoded(file: Any, where: str) -> None:
    from pydicom.pixels import get_decoder

    if file.Rows * file.Columns > LIMIT:
        raise DataError(f"{where}: an image of {file.Rows}×{file.Columns} pixels is too large")
    syntax = file.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax.is_encapsulated and not get_decoder(syntax).is_available:
        needs = "; or ".join(get_decoder(syntax).missing_dependencies)
        raise DataError(
            f"{where}: its pixels are stored as {syntax.name}, which takes a decoder: "
            f"pip install -r requirements-dicom.txt (pydicom names: {needs})"
        )


def _windowed(values: np.ndarray, file: Any, pixels: Pixels, where: str) -> np.ndarray:
    from pydicom.pixels import apply_voi

    if pixels.window:
        return to_bytes(values, _edges(*pixels.window), where)
    if pixels.range:
        return to_bytes(values, pixels.range, where)
    if file.get("VOILUTSequence"):
        bits = file.VOILUTSequence[0].LUTDescriptor[2]
        return to_bytes(apply_voi(values, file), (0, 2**bits - 1), where)
    if file.get("WindowCenter") is None or file.get("WindowWidth") is None:
        return to_bytes(values, (float(values.min()), float(values.max())), where)
    centre, width = (float(np.atleast_1d(value)[0]) for value in (file.WindowCenter, file.WindowWidth))
    match file.get("VOILUTFunction", "LINEAR"):
        case "SIGMOID":
            return to_bytes(1 / (1 + np.exp(-4 * (values - centre) / width)), (0, 1), where)
        case "LINEAR_EXACT":
            return to_bytes(values, (centre - width / 2, centre + width / 2), where)
        case _:
            return to_bytes(values, _edges(centre, width), where)


def _edges(centre: float, width: float) -> tuple[float, float]:
    """The values that become black and white, of C.11.2.1.2.1: whole numbers, both inside the window."""
    half = (max(width, 1 + 1e-6) - 1) / 2
    return centre - 0.5 - half, centre - 0.5 + half
