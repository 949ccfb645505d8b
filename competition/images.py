"""Images on disk as arrays, and the fingerprint that finds two equal ones."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from competition.errors import DataError
from competition.spec_parts import Pixels

PLAIN = Pixels()


@dataclass(frozen=True, slots=True)
class Picture:
    """Where one image is, and how its numbers become pixels.

    files: one; several are stacked, each as one grey channel. index: its place in a .npy array of many images.
    """

    files: tuple[Path, ...]
    index: int | None = None
    pixels: Pixels = PLAIN

    @property
    def path(self) -> Path:
        """What messages call it."""
        return self.files[0]


def read_image(picture: Picture, channels: int = 3) -> np.ndarray:
    """Decode an image file to (H, W, channels) uint8: RGB for 3 channels, grey for 1. Alpha is dropped.

    Raises DataError when the file is missing, truncated or not an image.
    """
    path = picture.path
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if len(encoded) == 0 or _truncated(encoded):
        raise DataError(f"{path}: the image is empty or cut short. Download the data again: delete its folder first.")
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded: {error}") from error
    if image is None:
        raise DataError(
            f"{path}: not an image that OpenCV can decode. Download the data again: delete its folder first."
        )
    return image.reshape(*image.shape[:2], channels)


def read_images(paths: Sequence[Picture], channels: int = 3) -> Iterator[np.ndarray]:
    """Decode images in order on several threads: OpenCV releases the interpreter's lock. Raises as `read_image`."""
    chunk = 256  # bounds how many decoded images wait in memory
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), chunk):
            yield from pool.map(lambda path: read_image(path, channels), paths[start : start + chunk])


def fingerprint(image: np.ndarray) -> str:
    """Hash of an image's shape and pixels: equal for the same picture in two different encodings."""
    return hashlib.blake2b(
        repr(image.shape).encode() + np.ascontiguousarray(image).tobytes(), digest_size=16
    ).hexdigest()


def fingerprints(paths: Sequence[Picture], name: str) -> np.ndarray:
    """`fingerprint` of every image, (N,) strings, with a progress bar called `name`. Raises as `read_image`."""
    images = tqdm(read_images(paths), total=len(paths), desc=f"reading {name} images", disable=None, leave=False)
    return np.array([fingerprint(image) for image in images])


def _truncated(encoded: np.ndarray) -> bool:
    """OpenCV decodes a cut PNG or JPEG to a picture with a grey or black rest, and only prints a warning."""
    head = encoded[:8].tobytes()
    if head.startswith(b"\x89PNG"):
        return b"IEND" not in encoded.tobytes()  # anywhere, because some programs append data of their own
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in encoded[-4096:].tobytes()
    return False
