"""Images decoded once into a memory-mapped array, so that no epoch waits for a decoder."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from competition.errors import DataError
from competition.images import read_images
from pipeline.config import Image


def decoded(paths: Sequence[Path], image: Image, folder: Path, name: str) -> np.ndarray:
    """All images as one read-only memory map (N, H, W, channels) uint8, RGB.

    Decoded on first use into `folder`/<name>-<key>.npy. The key covers every file's path, size and modification time
    and the recipe's image settings: a changed file or setting makes a new cache. Removing the folder is always safe.
    Two processes may build the same cache at once: each writes its own file and the last one renamed stays.

    Raises DataError: an unreadable image, or images of different sizes where the recipe sets none.
    """
    path = folder / f"{name}-{_key(paths, image)}.npy"
    if not path.is_file():
        _build(paths, image, path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _key(paths: Sequence[Path], image: Image) -> str:
    digest = hashlib.sha256(image.model_dump_json().encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _build(paths: Sequence[Path], image: Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pixels = None
    try:
        decoder = read_images(paths, image.channels)
        bar = tqdm(
            decoder, total=len(paths), desc=f"decoding {path.stem.rpartition('-')[0]} images", disable=None, leave=False
        )
        for row, picture in enumerate(bar):
            if image.size and picture.shape[:2] != image.size:
                height, width = image.size
                shrinking = height < picture.shape[0] and width < picture.shape[1]
                how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
                picture = cv2.resize(picture, (width, height), interpolation=how).reshape(height, width, -1)
            if pixels is None:
                shape = (len(paths), *picture.shape)
                pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            elif picture.shape != pixels.shape[1:]:
                raise DataError(
                    f"{paths[row]} is {picture.shape[0]}×{picture.shape[1]}, {paths[0]} is "
                    f"{pixels.shape[1]}×{pixels.shape[2]}: set image.size in the recipe, for instance "
                    f"--set image.size=[{pixels.shape[1]},{pixels.shape[2]}]"
                )
            pixels[row] = picture
        pixels.flush()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
