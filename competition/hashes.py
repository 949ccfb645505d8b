"""Perceptual hashes: 64 bits that hardly change when an image is resized or compressed anew."""

from collections.abc import Sequence

import cv2
import numpy as np
from tqdm import tqdm

from competition.decoders.scaling import mean_plane
from competition.images import Picture, fingerprint, in_threads, read_image

FLAT = 0  # the hash of an image without anything to see; no other image has it
_SIDE, _BITS = 32, 8
_LEAST_CONTRAST = 1.0  # standard deviation, in grey levels, after shrinking


def perceptual_hash(image: np.ndarray) -> int:
    """64 bits of an image (H, W, channels) uint8: which of its 8×8 lowest frequencies exceed their median.

    From the discrete cosine transform of the image in grey, shrunk to 32×32, without the first row and column of
    coefficients. So 32 bits are set, and two hashes differ in an even number of bits. A nearly constant image, whose
    bits would be those of its noise, gets the hash FLAT.

    Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1. Here
    averaging over areas while shrinking takes the place of its blur.
    """
    height, width = image.shape[:2]
    how = cv2.INTER_AREA if min(height, width) >= _SIDE else cv2.INTER_LINEAR
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=how).reshape(_SIDE, _SIDE, -1)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if small.shape[2] == 3 else mean_plane(small)[:, :, 0]
    if grey.std() < _LEAST_CONTRAST:
        return FLAT
    low = cv2.dct(grey.astype(np.float32))[1 : _BITS + 1, 1 : _BITS + 1]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def prints_and_hashes(pictures: Sequence[Picture], name: str) -> tuple[np.ndarray, np.ndarray]:
    """`fingerprint` (N,) strings and `perceptual_hash` (N,) uint64 of every image, which is decoded only once.

    `name` is that of the progress bar. Raises as `read_image`.
    """
    bar = tqdm(
        in_threads(_both, pictures), total=len(pictures), desc=f"reading {name} images", disable=None, leave=False
    )
    both = list(bar)
    return np.array([print_ for print_, _ in both]), np.array([hash_ for _, hash_ in both], np.uint64)


def _both(picture: Picture) -> tuple[str, int]:
    image = read_image(picture)
    return fingerprint(image), perceptual_hash(image)
