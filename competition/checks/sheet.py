"""Some images of every class, in one picture."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from competition.contest import Contest
from competition.errors import DataError
from competition.files import atomic_open
from competition.images import Picture, show_image
from competition.rows.tables import Rows

SIDE, GAP, COLUMNS, LINES = 112, 4, 8, 16
DPI, MARGIN = 100, 180  # pixels left of the images, for the names


def draw_sheet(contest: Contest, train: Rows, test: Rows, path: Path) -> None:
    """Write a PNG with a line of images for each class (or quarter of the numbers), and one of test images."""
    lines = [*_lines(contest, train), (f"test\n{len(test):,} rows", np.arange(len(test)))]
    height = SIDE + GAP
    canvas = np.full((height * len(lines), COLUMNS * (SIDE + GAP), 3), 255, np.uint8)
    for line, (_, members) in enumerate(lines):
        rows = test if line == len(lines) - 1 else train
        for column, row in enumerate(_spread(members)):
            tile = _tile(rows.picture(row))
            top, left = line * height, column * (SIDE + GAP)
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    _write([name for name, _ in lines], canvas, path)


def _lines(contest: Contest, rows: Rows) -> Iterator[tuple[str, np.ndarray]]:
    """Names, and the rows of each. Of many classes the most and the least frequent ones."""
    labels, classes, family = rows.labels, contest.classes, contest.spec.target.family
    if family in ("values", "shares"):
        for part in np.array_split(np.argsort(labels[:, 0], kind="stable"), min(4, len(labels))):
            yield f"{classes[0]}\n{labels[part[0], 0]:g} to {labels[part[-1], 0]:g}", part
        return
    one = family == "classes"
    counts = np.bincount(labels, minlength=len(classes)) if one else labels.sum(axis=0, dtype=np.int64)
    shown = np.flatnonzero(counts)
    if len(shown) > LINES:
        shown = shown[np.argsort(-counts[shown], kind="stable")]
        shown = [*shown[: LINES // 2], *shown[-LINES // 2 :]]
    for c in shown:
        yield f"{classes[c]}\n{counts[c]:,} rows", np.flatnonzero(labels == c if one else labels[:, c])


def _spread(members: np.ndarray) -> np.ndarray:
    return members[np.linspace(0, len(members) - 1, min(COLUMNS, len(members))).astype(int)]


def _tile(picture: Picture) -> np.ndarray:
    """A picture with its longer side SIDE; white where it cannot be read, which is said elsewhere."""
    try:
        image = show_image(picture)
    except DataError:
        return np.full((SIDE, SIDE, 3), 255, np.uint8)
    scale = SIDE / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)


def _write(names: list[str], canvas: np.ndarray, path: Path) -> None:
    from matplotlib.figure import Figure  # draws text in any alphabet, which OpenCV does not

    height, width = canvas.shape[:2]
    figure = Figure(figsize=((MARGIN + width) / DPI, height / DPI), dpi=DPI)
    figure.figimage(canvas, MARGIN, 0)
    for line, name in enumerate(names):
        first, *rest = name.split("\n")
        short = "\n".join([first if len(first) <= 26 else f"{first[:25]}…", *rest])
        middle = 1 - (line + 0.5) / len(names)
        # A $ would begin a formula
        figure.text(6 / (MARGIN + width), middle, short, va="center", fontsize=8, parse_math=False)
    with atomic_open(path, "wb") as file:
        figure.savefig(file, format="png", dpi=DPI)
