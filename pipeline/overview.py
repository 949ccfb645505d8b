"""overview.png of an ensemble: what it is about, at a glance."""

from typing import Any

import numpy as np

from competition.contest import Contest
from competition.images import read_image
from competition.tables import Rows
from pipeline.charts import confusion_cells, weight_bars
from pipeline.drawing import INK, new_figure, png
from pipeline.ensemble import Ensemble
from pipeline.findings import Findings
from pipeline.mistakes import SMALL

CLASSES = 12


def draw_overview(contest: Contest, ensemble: Ensemble, rows: Rows, findings: Findings) -> bytes:
    """Example images by class, the nested confusion matrix, and the weights, as one PNG."""
    classes = contest.spec.target.classes
    figure = new_figure(12, 2.6 + 0.62 * min(max(5, len(classes)), CLASSES))
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    _draw_examples(left, rows, classes[:CLASSES])
    top, bottom = right.subplots(2, 1, height_ratios=(2.2, 1))
    confusion_cells(top, findings.confusion, classes)
    top.set_title("confusion of the nested predictions", fontsize=10, loc="left", color=INK)
    weight_bars(bottom, ensemble)
    bottom.set_title("weights", fontsize=10, loc="left", color=INK)
    title = (
        f"{contest.spec.title}: expected {contest.spec.metric.name} {ensemble.honest.score:.4f} (nested), "
        f"best single member {ensemble.single[ensemble.best].score:.4f}"
    )
    figure.suptitle(title, x=0.01, ha="left", weight="bold", color=INK, parse_math=False)
    return png(figure)


def _draw_examples(figure: Any, rows: Rows, classes: tuple[str, ...], columns: int = 6) -> None:
    figure.suptitle("training images by class", fontsize=10, color=INK)
    axes = figure.subplots(len(classes), columns, squeeze=False)
    for label, line in enumerate(axes):
        for axis, row in zip(line, np.flatnonzero(rows.labels == label), strict=False):
            image = read_image(rows.images[row])
            axis.imshow(image, interpolation="nearest" if max(image.shape) < SMALL else "antialiased")
        for axis in line:
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set_visible(False)
        name = classes[label].replace("_", "\n")
        style = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 9, "color": INK, "parse_math": False}
        line[0].set_ylabel(name, **style)
