"""overview.png of an ensemble: what it is about, at a glance."""

from typing import Any

import cv2
import numpy as np

from competition.contest import Contest
from competition.images import show_images
from competition.rows.tables import Rows
from pipeline.charts import weight_bars
from pipeline.drawing import INK, new_figure, png
from pipeline.ensemble import Ensemble
from pipeline.error_charts import error_axis
from pipeline.examples import EXAMPLES, examples, heading
from pipeline.findings import Findings
from pipeline.mistakes import shrunk

CLASSES = 12
TILE, GAP = 128, 8  # pixels


def draw_overview(contest: Contest, ensemble: Ensemble, rows: Rows, findings: Findings) -> bytes:
    """Example images, where the nested predictions err, and the weights, as one PNG."""
    classes, family = contest.classes, contest.spec.target.family
    shown = examples(rows, classes, family, CLASSES)
    figure = new_figure(12, 2.6 + 0.62 * max(5, len(shown)))
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    _draw_examples(left.subplots(), rows, shown, heading(classes, family))
    top, bottom = right.subplots(2, 1, height_ratios=(2.2, 1))
    title = error_axis(top, contest, findings)
    weight_bars(bottom, ensemble)
    for axis, said in ((top, title), (bottom, "Weights")):
        axis.set_title(said, fontsize=10, loc="left", color=INK, parse_math=False)
    title = (
        f"{contest.spec.title}: expected {contest.metric.name} {ensemble.honest.score:.4f} (nested), "
        f"best single member {ensemble.alone.score:.4f}"
    )
    figure.suptitle(title, x=0.01, ha="left", weight="bold", color=INK, parse_math=False)
    return png(figure)


def _draw_examples(axis: Any, rows: Rows, shown: list[tuple[str, np.ndarray]], title: str) -> None:
    """All in one image: an axis for each would take seconds."""
    images = show_images([rows.picture(i) for _, some in shown for i in some])
    step = TILE + GAP
    ground = np.full((len(shown) * step, EXAMPLES * step, 3), 255, np.uint8)
    for k, (_, some) in enumerate(shown):
        for column in range(len(some)):
            tile = _tile(next(images))
            height, width = tile.shape[:2]
            top, left = k * step + (step - height) // 2, column * step + (step - width) // 2
            ground[top : top + height, left : left + width] = tile
    axis.imshow(ground)
    axis.set_title(title, fontsize=10, loc="left", color=INK, parse_math=False)
    axis.set_xticks([])
    places = (np.arange(len(shown)) + 0.5) * step
    names = [name.replace("_", "\n") for name, _ in shown]
    axis.set_yticks(places, names, fontsize=9, color=INK, parse_math=False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _tile(image: np.ndarray) -> np.ndarray:
    """The image, its longer side TILE pixels."""
    image = shrunk(image, TILE)
    scale = TILE / max(image.shape)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
