"""Made-up images: a tint and a grid of greys for every class, under noise, in the format that the file's name says."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from competition.errors import DataError
from competition.spec_parts import Pixels

SIDE = 32
CONTRAST, CLOUDS, NOISE = 45.0, 20.0, 10.0  # grey levels
PLANES = 3  # of an array of which the spec does not say how many it has

Encode = Callable[[np.ndarray, Pixels], bytes]


def draw_picture(weights: np.ndarray, rng: np.random.Generator, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """(height, width, 3) uint8 that shows the classes by their weights (C,), -1 to 1."""
    image = 128 + rng.normal(0, NOISE, (*size, 3))
    image += _patches(rng.normal(0, CLOUDS, (8, 8)), size)  # two images of a class are not near-duplicates
    for index in np.flatnonzero(weights):
        image += CONTRAST * weights[index] * _appearance(int(index), size)
    return np.clip(image, 0, 255).astype(np.uint8)


def encode(name: str, image: np.ndarray, pixels: Pixels) -> bytes:
    """The bytes of the image as a file called `name`. Raises DataError for a format that is not known here."""
    extension = Path(name).suffix.lower()
    if extension not in ENCODERS:
        raise DataError(f"{name}: cannot make up images of this format; known are {', '.join(ENCODERS)}")
    return ENCODERS[extension](image, pixels)


def to_planes(image: np.ndarray, pixels: Pixels, planes: int) -> np.ndarray:
    """(planes, height, width) float32: the image's channels in turn, from the spec's black to its white."""
    black, white = pixels.range or (0.0, 255.0)
    stacked = np.stack([image[..., plane % 3] for plane in range(planes)]).astype(np.float32)
    return black + stacked / 255 * (white - black)


def _appearance(index: int, size: tuple[int, int]) -> np.ndarray:
    """How a class looks, (height, width, 3) of about -1…1: a tint and a grid of greys that no other class has."""
    rng = np.random.default_rng(index)
    return 0.6 * _patches(rng.uniform(-1, 1, (4, 4)), size) + 0.6 * rng.uniform(-1, 1, 3)


def _patches(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A grid of values, enlarged to (height, width, 1)."""
    return cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST)[..., None]


def _by_opencv(extension: str) -> Encode:
    return lambda image, _: cv2.imencode(extension, image[..., ::-1])[1].tobytes()


def _npy(image: np.ndarray, pixels: Pixels) -> bytes:
    file = BytesIO()
    planes = max(pixels.planes) + 1 if pixels.planes else PLANES
    np.save(file, to_planes(image, pixels, planes).astype(np.float16))
    return file.getvalue()


def _dicom(image: np.ndarray, pixels: Pixels) -> bytes:
    """A grey slice of 16 bits, whose window shows the whole image."""
    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
    except ImportError as error:
        raise DataError("DICOM images need pydicom: pip install -r requirements-dicom.txt") from error

    centre, width = pixels.window or (2048.0, 4096.0)
    grey = image.mean(axis=2) / 255 * width
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[grey.tobytes().hex()])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID, slice_.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    slice_.Modality, slice_.PhotometricInterpretation = "CT", "MONOCHROME2"
    slice_.Rows, slice_.Columns = grey.shape
    slice_.SamplesPerPixel, slice_.PixelRepresentation = 1, 0
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit = 15
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, centre - width / 2
    slice_.WindowCenter, slice_.WindowWidth = centre, width
    slice_.PixelData = grey.astype("<u2").tobytes()
    file = BytesIO()
    slice_.save_as(file, enforce_file_format=True)
    return file.getvalue()


ENCODERS: dict[str, Encode] = {
    **{name: _by_opencv(name) for name in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")},
    ".npy": _npy,
    ".dcm": _dicom,
}
