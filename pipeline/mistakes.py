"""The worst mistakes of a run or an ensemble: what it was surest about, and wrong; or how far off its numbers are."""

from dataclasses import dataclass

import cv2
import numpy as np

from competition.images import Picture, show_image
from competition.rows.tables import Rows
from competition.spec_parts import Family

SMALL = 128  # pixels: images below are enlarged as they are, not smoothed
SIDE = 512  # pixels: larger images are shown smaller, so that two dozen of them are quickly drawn and uploaded
MOST = 24  # that are shown
TITLES: dict[Family, str] = {  # what the worst ones are called
    "classes": "surest mistakes",
    "labels": "surest mistakes",
    "shares": "largest errors",
    "values": "largest errors",
}


@dataclass(frozen=True)
class Answer:
    """A class or a number, and in a note the probability or share that the class was given, or has."""

    what: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.note})" if self.note else self.what


@dataclass(frozen=True)
class Mistake:
    """A row with what was said of it and what is true."""

    id: str
    picture: Picture
    true: Answer
    predicted: Answer

    @property
    def caption(self) -> str:
        return f"true {self.true}, predicted {self.predicted}, id {self.id}"


def worst_mistakes(
    rows: Rows,
    predictions: np.ndarray,
    classes: tuple[str, ...],
    family: Family = "classes",
    judged: np.ndarray | None = None,
) -> list[Mistake]:
    """At most MOST rows, the worst first; equally bad ones in the order of the rows.

    Of classes: those that are predicted wrongly, by the probability of the predicted class. Of labels: those with a
    class that is wrongly said or missed, by how sure that was. Of shares and values: all, by their squared error.

    Args:
        predictions: (N, C), in the order of `rows`; out-of-fold, or they show what was learned by heart.
        judged: (N, C) hard answers made of them, where those are not the obvious ones.
    """
    judged = predictions if judged is None else judged
    if family == "classes":
        return _wrong_classes(rows, predictions, classes, judged.argmax(axis=1))
    if family == "labels":
        return _wrong_labels(rows, predictions, classes, judged >= 0.5)
    return _far_off(rows, predictions, classes, family)


def _wrong_classes(rows: Rows, p: np.ndarray, classes: tuple[str, ...], predicted: np.ndarray) -> list[Mistake]:
    order = np.argsort(-p[np.arange(len(rows)), predicted], kind="stable")
    order = order[predicted[order] != rows.labels[order]][:MOST]

    def answers(columns: np.ndarray) -> list[Answer]:
        return [Answer(classes[k], f"{q:.1%}") for k, q in zip(columns, p[order, columns], strict=True)]

    both = zip(order, answers(rows.labels[order]), answers(predicted[order]), strict=True)
    return [Mistake(str(rows.ids[i]), rows.picture(i), true, said) for i, true, said in both]


def _wrong_labels(rows: Rows, p: np.ndarray, classes: tuple[str, ...], predicted: np.ndarray) -> list[Mistake]:
    # How sure the surest wrong answer of a row is; -1 where all are right.
    sure = np.where(predicted == rows.labels, np.float32(-1), np.abs(rows.labels - p))
    worst = sure.argmax(axis=1)
    order = np.argsort(-sure[np.arange(len(rows)), worst], kind="stable")[:MOST]
    return [
        Mistake(
            str(rows.ids[i]),
            rows.picture(i),
            Answer(classes[k] if rows.labels[i, k] else f"no {classes[k]}"),
            Answer(f"no {classes[k]}" if rows.labels[i, k] else classes[k], f"p={p[i, k]:.1%}"),
        )
        for i, k in zip(order, worst[order], strict=True)
        if sure[i, k] >= 0
    ]


def _far_off(rows: Rows, p: np.ndarray, names: tuple[str, ...], family: Family) -> list[Mistake]:
    off = p - rows.labels
    order = np.argsort(-(off**2).mean(axis=1), kind="stable")[:MOST]

    def answer(value: float, column: int) -> Answer:
        if family == "shares":
            return Answer(names[column], f"{value:.1%}")
        return Answer(f"{value:.4g}" if len(names) == 1 else f"{names[column]} {value:.4g}")

    return [
        Mistake(str(rows.ids[i]), rows.picture(i), answer(rows.labels[i, k], k), answer(p[i, k], k))
        for i, k in zip(order, np.abs(off[order]).argmax(axis=1), strict=True)
    ]


def read_mistakes(mistakes: list[Mistake]) -> list[np.ndarray]:
    """Their images, RGB, centred on a grey ground of one common size: W&B shows a gallery of mixed sizes distorted.

    Raises DataError when an image cannot be read.
    """
    images = [shrunk(show_image(mistake.picture)) for mistake in mistakes]
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
