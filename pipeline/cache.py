"""Images decoded once into a memory-mapped array, so that no epoch waits for a decoder."""

import hashlib
import math
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from competition.errors import DataError
from competition.files import atomic_open, sha256_of
from competition.images import Picture, in_threads, read_image, resize_option
from competition.locks import locked
from pipeline.config import Image

STAT_THREADS, STAT_BLOCK = 16, 1000  # on a network disk each of a million files is a question to its server


def decoded(pictures: Sequence[Picture], image: Image, folder: Path, name: str) -> np.ndarray:
    """All images as one read-only memory map (N, H, W, channels) uint8, RGB.

    Decoded on first use into `folder`/<name>-<key>.npy. The key covers every file's content, how its numbers become
    pixels, and the recipe's image settings: a change of any makes a new cache, and a copy of the same files finds the
    old one. A <name>-<other key>.seen beside it says that files of these paths, sizes and modification times have been
    read, so that they need not be again. Removing the folder is always safe. The number of channels is that of the
    first image: stacks and arrays have their own. One process decodes, and others that want the same images wait.

    Raises DataError: an unreadable image, images of different sizes where the recipe sets none, or a disk too small.
    """
    folder = folder.resolve()  # a link may lead to a disk of each machine's own, where there is no folder yet
    files = list(dict.fromkeys(path for picture in pictures for path in picture.files))
    seen = folder / f"{name}-{_key(pictures, image, _states(files))}.seen"
    if (pixels := _open_seen(seen)) is not None:
        return pixels
    path = folder / f"{name}-{_key(pictures, image, _contents(files, name))}.npy"
    if (pixels := _open(path)) is None:
        with locked(path.with_name(f".{path.stem}.lock"), f"another process decodes the {name} images; waiting for it"):
            if (pixels := _open(path)) is None:
                if path.is_file():
                    print(f"{path} is damaged; decoding the images again", file=sys.stderr)
                _build(pictures, image, path)
                pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    # A note to save time: a full disk, or one that may only be read, must not stop who has the images.
    with suppress(OSError), atomic_open(seen) as file:
        file.write(path.name)
    return pixels


def _open(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):  # missing, cut short, or written over by something else
        return None


def _open_seen(seen: Path) -> np.ndarray | None:
    return _open(seen.with_name(seen.read_text("utf-8", errors="replace"))) if seen.is_file() else None


def _key(pictures: Sequence[Picture], image: Image, of_file: dict[Path, str]) -> str:
    digest = hashlib.sha256(image.model_dump_json().encode())
    settings = None
    for picture in pictures:
        if picture.pixels is not settings and picture.pixels != settings:
            settings = picture.pixels
            digest.update(f"{settings.model_dump_json()}\n".encode())
        digest.update("\0".join([*(of_file[path] for path in picture.files), f"{picture.index}\n"]).encode())
    return digest.hexdigest()[:16]


def _states(files: list[Path]) -> dict[Path, str]:
    """Each file's path, size and modification time."""

    def state(path: Path) -> str:
        stat = os.stat(path)  # noqa: PTH116 - Path.stat is slower
        return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}"

    blocks = [files[first : first + STAT_BLOCK] for first in range(0, len(files), STAT_BLOCK)]
    with ThreadPoolExecutor(STAT_THREADS) as pool:
        found = pool.map(lambda block: [state(path) for path in block], blocks)
        return dict(zip(files, chain.from_iterable(found), strict=True))


def _contents(files: list[Path], name: str) -> dict[Path, str]:
    """Each file's SHA-256. Raises DataError where it cannot be read."""

    def content(path: Path) -> str:
        try:
            return sha256_of(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error

    bar = tqdm(in_threads(content, files), total=len(files), desc=f"reading {name} images", disable=None, leave=False)
    return dict(zip(files, bar, strict=True))


def _build(pictures: Sequence[Picture], image: Image, path: Path) -> None:
    def read(picture: Picture) -> np.ndarray:
        return _resized(read_image(picture, image.channels), image.size)

    title = f"decoding {path.stem.rpartition('-')[0]} images"
    bar = tqdm(in_threads(read, pictures), total=len(pictures), desc=title, disable=None, leave=False)
    shape = None
    # Written image by image, not through a memory map: on a full disk that would end this process without a word.
    with atomic_open(path, "wb") as file:
        for picture, made in zip(pictures, bar, strict=True):
            if shape is None:
                shape = made.shape
                _require_room(path, len(pictures), shape)
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(pictures), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            elif made.shape != shape:
                raise _unequal(picture, made, pictures[0], shape, path)
            file.write(made.tobytes())


def _require_room(path: Path, n: int, shape: tuple[int, ...]) -> None:
    needed, free = n * math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{path.parent}: {n:,} images of {shape[0]}×{shape[1]} need {needed / 1e9:.1f} GB, decoded, and "
            f"{free / 1e9:.1f} GB are free. Make them smaller, for instance {resize_option(shape)}, or point --runs to "
            "another disk"
        )


def _unequal(picture: Picture, image: np.ndarray, first: Picture, shape: tuple[int, ...], path: Path) -> DataError:
    if image.shape[2] != shape[2]:
        return DataError(
            f"{picture.name} has {image.shape[2]} planes, {first.name} has {shape[2]}: choose them with pixels.planes "
            f"in the spec"
        )
    size = resize_option(shape)
    return DataError(
        f"{picture.name} is {image.shape[0]}×{image.shape[1]}, {first.name} is {shape[0]}×{shape[1]}: "
        + (
            f"set image.size in the recipe, for instance {size}"
            if path.name.startswith("train-")
            else f"the run must be trained with an image.size, for instance {size}, with --name for a new run"
        )
    )


def _resized(picture: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or picture.shape[:2] == size:
        return picture
    height, width = size
    shrinking = height < picture.shape[0] and width < picture.shape[1]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=how).reshape(height, width, -1)
