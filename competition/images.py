"""Images on disk as arrays, and the fingerprint that finds two equal ones."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from competition.decoders.arrays import read_npy, read_npz
from competition.decoders.dicom import read_dicom
from competition.decoders.headers import LIMIT, format_of, size_of
from competition.decoders.picture import decode_picture
from competition.decoders.scaling import lay_out, mean_plane, stack, take_planes, to_bytes, to_planes, with_channels
from competition.errors import DataError
from competition.spec_parts import Pixels

PLAIN = Pixels()
USUAL_SIDE = 256  # pixels of the longer side that most recipes can afford
Given, Made = TypeVar("Given"), TypeVar("Made")


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
        """Its only or first file."""
        return self.files[0]

    @property
    def name(self) -> str:
        """What messages call it."""
        return _name(self.path, self.index)


def read_image(picture: Picture, channels: int = 3) -> np.ndarray:
    """Decode an image to (H, W, channels) uint8: RGB for 3 channels, grey for 1.

    The format is what the file's first bytes say, whatever its name. Numbers that are not 8-bit are brought to 0…255
    as `Pixels` says. Alpha is dropped: a transparent pixel has the colour it was stored with. Arrays and stacks of two
    planes get their mean as a third; of four or more they keep them all, whatever `channels` says.

    Raises DataError when the file is missing, truncated, too large or not an image.
    """
    if len(picture.files) == 1:
        return with_channels(_read_file(picture.path, picture, channels), channels)
    grey = [with_channels(_read_file(path, picture, 1), 1) for path in picture.files]
    return with_channels(stack(grey, picture.files), channels)


def show_images(pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
    """Images as one can look at them, (H, W, 3) uint8 RGB: of more planes than three, their mean.

    Decoded in order on several threads: OpenCV releases the interpreter's lock. Raises as `read_image`.
    """
    return in_threads(show_image, pictures)


def show_image(picture: Picture) -> np.ndarray:
    """One image as in `show_images`."""
    image = read_image(picture)
    return image if image.shape[2] == 3 else with_channels(mean_plane(image), 3)


def in_threads(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """`function` of every item, in order. A few results per thread wait in memory, and no more."""
    workers = (os.cpu_count() or 1) + 2  # some wait for the disk
    waiting = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def resize_option(shape: Sequence[int]) -> str:
    """The option of train.py that makes images of (height, width, …) small enough for most networks, in proportion."""
    share = min(1.0, USUAL_SIDE / max(shape[:2]))
    height, width = (max(1, round(side * share)) for side in shape[:2])
    return f"--set 'image.size=[{height},{width}]'"


def fingerprint(image: np.ndarray) -> str:
    """Hash of an image's shape and pixels: equal for the same picture in two different encodings."""
    return hashlib.blake2b(
        repr(image.shape).encode() + np.ascontiguousarray(image).tobytes(), digest_size=16
    ).hexdigest()


def fingerprints(pictures: Sequence[Picture], name: str) -> np.ndarray:
    """`fingerprint` of every image, (N,) strings, with a progress bar called `name`. Raises as `read_image`."""
    prints = in_threads(lambda picture: fingerprint(read_image(picture)), pictures)
    bar = tqdm(prints, total=len(pictures), desc=f"reading {name} images", disable=None, leave=False)
    return np.array(list(bar))


def _read_file(path: Path, picture: Picture, channels: int) -> np.ndarray:
    """One file as (H, W, P) uint8."""
    pixels, where = picture.pixels, _name(path, picture.index)
    try:
        with path.open("rb") as file:
            kind = format_of(file.read(132))
            file.seek(0)
            encoded = b"" if kind == "npy" else file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if picture.index is not None and kind != "npy":
        raise DataError(f"{path}: not a .npy array, so it has no image number {picture.index}")
    limits = pixels.range
    match kind:
        case "dcm":
            planes, limits = read_dicom(encoded, pixels, where), None  # its window is applied already
        case "npy":
            planes = to_planes(read_npy(path, picture.index), where)
        case "npz":
            planes = to_planes(read_npz(encoded, path), where)
        case _:
            height, width = size_of(encoded)
            if height * width > LIMIT:
                raise DataError(f"{path}: an image of {height}×{width} pixels is too large; make smaller copies first")
            whole = pixels.planes is None and pixels.layout == "channels"
            planes = decode_picture(encoded, channels if whole else 3, where)
    return lay_out(to_bytes(take_planes(planes, pixels, where), limits, where), pixels)


def _name(path: Path, index: int | None) -> str:
    return str(path) if index is None else f"{path}, image {index}"
