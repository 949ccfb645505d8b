"""Every image decoded once: what it is, and which cannot be read."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from competition.checks.headers import Header, describe_picture
from competition.errors import DataError
from competition.hashes import FLAT, perceptual_hash
from competition.images import Picture, fingerprint, in_threads, read_image, resize_option

BAR, SIZES = 30, 6


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of an image. error: why it cannot be read; then the rest is empty.

    shape: its height and width. headers: of its files; none where the image can be read, but not described.
    """

    print: str = ""
    hash: int = FLAT
    shape: tuple[int, ...] = ()
    headers: tuple[Header, ...] = ()
    error: str = ""


def look_at(pictures: Sequence[Picture], name: str, hashes: bool) -> list[Look]:
    """Decode every picture, on several threads, with a progress bar. `hashes`: compute perceptual ones, too."""

    def look(picture: Picture) -> Look:
        try:
            image = read_image(picture)
        except DataError as error:
            return Look(error=str(error))
        headers = ()
        with suppress(DataError):
            headers = describe_picture(picture)
        return Look(fingerprint(image), perceptual_hash(image) if hashes else FLAT, image.shape[:2], headers)

    bar = tqdm(in_threads(look, pictures), total=len(pictures), desc=name, disable=None, leave=False)
    return list(bar)


def describe_looks(looks: Sequence[Look]) -> list[str]:
    """Lines on image sizes, and on channels and bits."""
    headers = [header for look in looks for header in look.headers]
    if not headers:
        return []
    sizes = Counter((header.width, header.height) for header in headers)
    lines = _histogram(
        "sizes", {f"{width}×{height}": n for (width, height), n in sizes.most_common(SIZES)}, len(headers)
    )
    if len(sizes) > SIZES:
        low, *_, high = sorted(sizes, key=lambda size: size[0] * size[1])
        rest = sum(n for _, n in sizes.most_common()[SIZES:])
        lines.append(f"          {len(sizes) - SIZES} other sizes: {rest:,} images; "
                     f"the smallest is {low[0]}×{low[1]}, the largest {high[0]}×{high[1]}")  # fmt: skip
    stored = Counter(f"{header.format} {header.channels} {header.depth}" for header in headers)
    lines += _histogram("stored", dict(stored.most_common()), len(headers))
    rotated = sum(header.rotated for header in headers)
    if rotated:
        lines.append(f"rotated   {rotated:,} images by their EXIF data; they are turned upright when read")
    return lines


def describe_shapes(looks: Sequence[Look]) -> list[str]:
    """A line on images of all tables that differ in size."""
    shapes = Counter(look.shape for look in looks if not look.error)
    if len(shapes) < 2:
        return []
    usual = shapes.most_common(1)[0][0]
    return [f"sizes: {len(shapes):,} different ones; recipes need one: train.py … {resize_option(usual)}"]


def describe_duplicates(looks: Sequence[Look], row_of: np.ndarray, labels: np.ndarray) -> list[str]:
    """A line on training images of different rows that are equal.

    Args:
        row_of: (V,) the row of each image. labels: (N,) or (N, C), of the rows.
    """
    first: dict[str, int] = {}
    seen = [(first.setdefault(look.print, row), row) for look, row in zip(looks, row_of, strict=True) if look.print]
    pairs = np.array([(earlier, row) for earlier, row in seen if earlier != row], dtype=np.int64).reshape(-1, 2)
    cells = labels.reshape(len(labels), -1)
    differ = (cells[pairs[:, 0]] != cells[pairs[:, 1]]).any(axis=1)
    also = f", {int(differ.sum()):,} of them with another label" if len(pairs) else ""
    return [f"{len(pairs):,} training images equal one of an earlier row{also}"]


def describe_common(looks: dict[str, Sequence[Look]]) -> list[str]:
    """Lines on images of other tables that are also in train."""
    train = {look.print for look in looks["train"]} - {""}
    near = {look.hash for look in looks["train"]} - {FLAT}
    lines = []
    for name, others in looks.items():
        if name != "train":
            equal = sum(look.print in train for look in others)
            alike = sum(look.hash in near and look.print not in train for look in others)
            more = f"; {alike:,} more have the perceptual hash of one" if near else ""
            lines.append(f"{equal:,} images of {name} are also in train{more}")
    return lines


def describe_near(looks: Sequence[Look]) -> str:
    """A line on training images with the same perceptual hash."""
    hashes = Counter(look.hash for look in looks if look.hash != FLAT)
    alike = sum(n for n in hashes.values() if n > 1)
    return f"{alike:,} training images share their perceptual hash; python -m folds lists all that are nearly equal"


def _histogram(name: str, counts: dict[str, int], total: int) -> list[str]:
    width = max(map(len, counts))
    lines = []
    for what, n in counts.items():
        lines.append(f"{name:<10}{what:<{width}}  {'█' * max(1, round(BAR * n / total))} {n:,}")
        name = ""
    return lines
