"""Numbers of any type and layout as (H, W, planes) uint8. `where` is what messages call the image."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from competition.errors import DataError
from competition.spec_parts import Pixels


def to_bytes(values: np.ndarray, limits: tuple[float, float] | None, where: str) -> np.ndarray:
    """Values as uint8 of the same shape: `limits` become 0 and 255, what lies beyond is cut, halves go to even.

    Without limits: booleans and 8- and 16-bit integers by their type's whole range, floating-point numbers by their
    own least and greatest value (all 0 where these are equal).

    Raises DataError for NaN, for infinite values and for wide integers without limits, and for other types.
    """
    if values.dtype == np.uint8 and limits is None:
        return values
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: values of type {values.dtype} are not pixels")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError(f"{where}: {int(np.isnan(values).sum())} of its values are NaN; replace them in the file")
    low, high = limits or _own_limits(values, where)
    if low == high:
        return np.zeros(values.shape, np.uint8)
    exact = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    scaled = values.astype(exact)
    scaled -= exact(low)
    scaled *= exact(255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled).astype(np.uint8)


def to_planes(array: np.ndarray, where: str) -> np.ndarray:
    """An array of two or three axes as (H, W, planes): of the first and the last axis the shorter one is the planes.

    Where they are equally long it is the first. Raises DataError for any other number of axes, and without values.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and array.shape[0] <= array.shape[2]:
        array = np.moveaxis(array, 0, 2)
    if array.ndim != 3 or array.size == 0:
        raise DataError(f"{where}: an array of shape {array.shape} is not one image: (H, W), (P, H, W) or (H, W, P)")
    return array


def take_planes(planes: np.ndarray, pixels: Pixels, where: str) -> np.ndarray:
    """The planes (H, W, P) that `pixels.planes` names. Raises DataError when there are fewer."""
    if pixels.planes is None:
        return planes
    if max(pixels.planes) >= planes.shape[2]:
        raise DataError(f"{where}: pixels.planes asks for plane {max(pixels.planes)}; it has 0…{planes.shape[2] - 1}")
    return planes[:, :, list(pixels.planes)]


def lay_out(planes: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Planes (H, W, P) as they are, or with `pixels.layout: rows` one below the other, (P·H, W, 1)."""
    if pixels.layout == "channels":
        return planes
    return np.moveaxis(planes, 2, 0).reshape(-1, planes.shape[1], 1)


def with_channels(planes: np.ndarray, channels: int) -> np.ndarray:
    """Planes (H, W, P) uint8 as (H, W, channels), for channels 1 or 3; four planes or more stay as they are.

    One plane is repeated, two get their mean as a third, three count as red, green and blue where grey is wanted.
    """
    count = planes.shape[2]
    if count == channels or count > 3:
        return np.ascontiguousarray(planes)
    if count == 1:
        return np.repeat(planes, channels, axis=2)
    if count == 3:
        return cv2.cvtColor(np.ascontiguousarray(planes), cv2.COLOR_RGB2GRAY)[:, :, None]
    mean = mean_plane(planes)
    return mean if channels == 1 else np.concatenate([planes, mean], axis=2)


def mean_plane(planes: np.ndarray) -> np.ndarray:
    """(H, W, P) uint8 to (H, W, 1), the rounded mean."""
    return np.rint(planes.mean(axis=2, keepdims=True, dtype=np.float32)).astype(np.uint8)


def stack(images: Sequence[np.ndarray], paths: Sequence[Path]) -> np.ndarray:
    """Grey images (H, W, 1) as the channels of one. Raises DataError naming two files of different sizes."""
    for image, path in zip(images, paths, strict=True):
        if image.shape != images[0].shape:
            (h, w), (first_h, first_w) = image.shape[:2], images[0].shape[:2]
            raise DataError(
                f"{path} is {h}×{w}, {paths[0]} is {first_h}×{first_w}: the channels of one image must have one size"
            )
    return np.concatenate(images, axis=2)


def _own_limits(values: np.ndarray, where: str) -> tuple[float, float]:
    if values.dtype.kind == "b":
        return 0, 1
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        whole = np.iinfo(values.dtype)
        return whole.min, whole.max
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind in "iu":
        raise DataError(
            f"{where}: {values.dtype} numbers from {low:.0f} to {high:.0f}: say in the spec which are black and white, "
            f"for instance pixels: {{range: [0, 255]}}"
        )
    if np.isinf([low, high]).any():
        raise DataError(f"{where}: some of its values are infinite; set pixels.range in the spec, which cuts them")
    return low, high
