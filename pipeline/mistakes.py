"""The worst mistakes of a run or an ensemble: the images it was surest about, and wrong."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from competition.images import read_image
from competition.tables import Rows

SMALL = 128  # pixels: images below are enlarged as they are, not smoothed
SIDE = 512  # pixels: larger images are shown smaller, so that two dozen of them are quickly drawn and uploaded


@dataclass(frozen=True)
class Mistake:
    """A row predicted wrongly: its true and its predicted class, each with the probability it was given."""

    id: str
    image: Path
    true: str
    p_true: float
    predicted: str
    p_predicted: float

    @property
    def caption(self) -> str:
        true, predicted = f"{self.true} ({self.p_true:.1%})", f"{self.predicted} ({self.p_predicted:.1%})"
        return f"true {true}, predicted {predicted}, id {self.id}"


def worst_mistakes(
    rows: Rows,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    n: int = 24,
    predicted: np.ndarray | None = None,
) -> list[Mistake]:
    """The `n` wrong predictions of highest confidence, the worst first; equally sure ones in the order of the rows.

    Args:
        probabilities: (N, C), in the order of `rows`; out-of-fold, or they show what was learned by heart.
        predicted: (N,) class indices, where they are not the most probable ones.
    """
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    order = np.argsort(-probabilities[np.arange(len(rows)), predicted], kind="stable")
    return [
        Mistake(
            str(rows.ids[i]),
            rows.images[i],
            classes[rows.labels[i]],
            float(probabilities[i, rows.labels[i]]),
            classes[predicted[i]],
            float(probabilities[i, predicted[i]]),
        )
        for i in order[predicted[order] != rows.labels[order]][:n]
    ]


def read_mistakes(mistakes: list[Mistake]) -> list[np.ndarray]:
    """Their images, RGB, centred on a grey ground of one common size: W&B shows a gallery of mixed sizes distorted.

    Raises DataError when an image cannot be read.
    """
    images = [shrunk(read_image(mistake.image)) for mistake in mistakes]
    height, width = (max((image.shape[axis] for image in images), default=0) for axis in (0, 1))
    return [_centred(image, height, width) for image in images]


def shrunk(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The image, its longer side at most `side` pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _centred(image: np.ndarray, height: int, width: int) -> np.ndarray:
    ground = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    ground[top : top + image.shape[0], left : left + image.shape[1]] = image
    return ground
