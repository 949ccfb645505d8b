"""Images decoded once into a memory-mapped array, so that no epoch waits for a decoder."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from competition.errors import DataError
from competition.files import atomic_open
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
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:  # cut short, or written over by something else
        print(f"{path} is damaged ({error}); decoding the images again", file=sys.stderr)
        _build(paths, image, path)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _key(paths: Sequence[Path], image: Image) -> str:
    digest = hashlib.sha256(image.model_dump_json().encode())
    for path in (picture.path for picture in paths):
        stat = path.stat()
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _build(paths: Sequence[Path], image: Image, path: Path) -> None:
    title = f"decoding {path.stem.rpartition('-')[0]} images"
    bar = tqdm(read_images(paths, image.channels), total=len(paths), desc=title, disable=None, leave=False)
    shape = None
    # Written image by image, not through a memory map: on a full disk that would end this process without a word.
    with atomic_open(path, "wb") as file:
        for number, picture in enumerate(bar):
            picture = _resized(picture, image.size)
            if shape is None:
                shape = picture.shape
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            elif picture.shape != shape:
                raise DataError(
                    f"{paths[number]} is {picture.shape[0]}×{picture.shape[1]}, {paths[0]} is {shape[0]}×{shape[1]}: "
                    f"set image.size in the recipe, for instance --set image.size=[{shape[0]},{shape[1]}]"
                )
            file.write(picture.tobytes())


def _resized(picture: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or picture.shape[:2] == size:
        return picture
    height, width = size
    shrinking = height < picture.shape[0] and width < picture.shape[1]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=how).reshape(height, width, -1)
