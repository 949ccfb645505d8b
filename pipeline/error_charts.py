"""Charts of where an ensemble errs, and of how far its answers can be believed, for every kind of target."""

from typing import Any

import numpy as np

from competition.contest import Contest
from pipeline.calibration import Calibration
from pipeline.class_errors import ClassErrors
from pipeline.drawing import BAD, FAINT, GOOD, INK, LETTERS, WIDTH, Chart, finish, new_figure, rgb, short, write
from pipeline.findings import Findings
from pipeline.number_errors import NumberErrors, bias_by_prediction

NUMBERED = 12  # classes whose cells have room for a number
NAMED = 32  # classes whose names fit
NUMBERS = 4  # that have charts of their own
POINTS = 1000  # that are drawn one by one; more become a map of their density
CELLS = 48  # of that map, each way


def error_charts(contest: Contest, findings: Findings) -> list[Chart]:
    """Those that the contest's kind of target has."""
    charts, errors = [], findings.errors
    if isinstance(errors, ClassErrors) and errors.confusion is not None:
        charts.append(_confusion(errors.confusion, contest.classes))
    if isinstance(errors, NumberErrors):
        for k, (name, true, predicted) in enumerate(_numbers(contest, errors)):
            charts += [_scatter(k, name, true, predicted), _bias(k, name, true, predicted)]
    if findings.calibration is not None:
        charts.append(_reliability(findings.calibration, contest.spec.target.family == "labels"))
    return charts


def error_axis(axis: Any, contest: Contest, findings: Findings) -> str:
    """Draw the chart that says most, into an axis; return its title."""
    errors = findings.errors
    if isinstance(errors, ClassErrors) and errors.confusion is not None:
        _draw_confusion(axis, errors.confusion, contest.classes)
        return "Confusion of the nested predictions"
    if isinstance(errors, NumberErrors):
        name, true, predicted = _numbers(contest, errors)[0]
        _draw_scatter(axis, true, predicted)
        return f"Nested predictions and truth{name}"
    _draw_reliability(axis, findings.calibration, contest.spec.target.family == "labels")
    return "Can the nested predictions be believed?"


def _numbers(contest: Contest, errors: NumberErrors) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What is drawn: a suffix of the title, true and predicted numbers. Shares have one scale, and one chart."""
    if contest.spec.target.family == "shares":
        return [("", errors.true.ravel(), errors.predicted.ravel())]
    several = len(contest.classes) > 1
    return [
        (f": {name}" if several else "", errors.true[:, k], errors.predicted[:, k])
        for k, name in enumerate(contest.classes[:NUMBERS])
    ]


def _draw_confusion(axis: Any, confusion: np.ndarray, classes: tuple[str, ...]) -> None:
    """Draw rows by true and predicted class into an axis: right ones blue; wrong ones orange, small shares raised."""
    c = len(confusion)
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    right = np.eye(c, dtype=bool)
    cells = np.empty((c, c, 4))
    cells[..., :3] = np.where(right[..., None], rgb(GOOD), rgb(BAD))
    cells[..., 3] = np.where(right, share, np.sqrt(share))
    axis.imshow(cells, interpolation="none", aspect="auto" if c > NUMBERED else "equal")
    if c <= NUMBERED:
        for (i, j), value in np.ndenumerate(share):
            if confusion[i, j]:
                colour = "white" if cells[i, j, 3] > 0.6 else INK
                size = 9 if c <= 8 else 7.5
                text = f"{value:.1%}" if c <= 5 else f"{value:.0%}" if c <= 8 else f"{100 * value:.0f}"
                write(axis, j, i, text, ha="center", va="center", color=colour, fontsize=size)
    finish(axis, "predicted", "true")
    axis.grid(False)
    axis.tick_params(length=0)
    if c > NAMED:
        return
    axis.set_yticks(range(c), [short(name, LETTERS - 1) for name in classes], parse_math=False)
    if c > NUMBERED:
        axis.tick_params(axis="y", labelsize=8)
        axis.set_xticks([], [])
        axis.set_xlabel("predicted, in the same order", fontsize=9)
    elif max(map(len, classes)) * c <= 36:
        axis.set_xticks(range(c), classes, parse_math=False)
    else:
        names = [short(name, LETTERS - 1) for name in classes]
        turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        axis.set_xticks(range(c), names, parse_math=False, **turned)


def _confusion(confusion: np.ndarray, classes: tuple[str, ...]) -> Chart:
    c = len(classes)
    figure = new_figure(WIDTH, 1.0 + 0.155 * c if NUMBERED < c <= NAMED else 3.9)
    _draw_confusion(figure.subplots(), confusion, classes)
    share = np.diag(confusion) / np.maximum(1, confusion.sum(axis=1))
    note = "Per cent of the true class: right ones blue, mistakes orange, and darker than their share to be seen."
    if c > NAMED:
        note += f" Classes are in the contest's order, 0 to {c - 1}; the table of pairs has the names."
    worst, best = int(share.argmin()), int(share.argmax())
    said = f"Right most often: {classes[best]}, {share[best]:.1%}. Least: {classes[worst]}, {share[worst]:.1%}"
    title = "Confusion of the nested predictions"
    return Chart("confusion", title, f"{note} {said}.", f"Confusion matrix of {c} classes. {said}", figure)


def _draw_reliability(axis: Any, calibration: Calibration, labels: bool) -> None:
    x, y = calibration.confidence, calibration.accuracy
    axis.plot([x.min(), 1], [x.min(), 1], color=INK, alpha=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    error = np.maximum(0, [y - calibration.low, calibration.high - y])
    axis.errorbar(x, y, error, fmt="o-", color=GOOD, markersize=5, linewidth=1.4, elinewidth=1, capsize=2.5)
    if labels:
        finish(axis, "probability of a class", "share of the rows that have it")
    else:
        finish(axis, "confidence: probability of the most probable class", "share that is right")


def _reliability(calibration: Calibration, labels: bool) -> Chart:
    figure = new_figure(WIDTH, 3.2)
    _draw_reliability(figure.subplots(), calibration, labels)
    x, y, counts = calibration.confidence, calibration.accuracy, calibration.counts
    off = float((counts * (x - y)).sum() / counts.sum())
    if labels:
        tendency = "too high" if off > 0 else "too low"
        bins = f"{len(x)} bins of equal doubt, p (1 − p), of all rows and classes"
    else:
        tendency = "too sure" if off > 0 else "not sure enough"
        fewest, most = int(counts.min()), int(counts.max())
        bins = f"{len(x)} bins of {fewest:,}{f' to {most:,}' if most > fewest else ''} rows"
    note = (
        f"Expected calibration error {calibration.error:.4f}; on average {tendency}, by {abs(off):.4f}. "
        f"{bins}, with 95 % intervals; on the dashed line, confidence is earned."
    )
    return Chart("reliability", "Can its probabilities be believed?", note, f"Reliability diagram. {note}", figure)


def _draw_scatter(axis: Any, true: np.ndarray, predicted: np.ndarray) -> None:
    """Predicted against true, on one scale; many points as a map, whose colour tells the logarithm of their number."""
    low, high = (float(f([f(true), f(predicted)])) for f in (np.min, np.max))
    margin = 0.03 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    if len(true) <= POINTS:
        axis.scatter(true, predicted, 14, GOOD, alpha=0.55, linewidths=0)
    else:
        count, _, _ = np.histogram2d(predicted, true, CELLS, (limits, limits))
        cells = np.empty((CELLS, CELLS, 4))
        cells[..., :3], cells[..., 3] = rgb(GOOD), np.log1p(count) / np.log1p(count.max())
        axis.imshow(cells, extent=(*limits, *limits), origin="lower", interpolation="none", aspect="auto")
    axis.plot(limits, limits, color=INK, alpha=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axis.set(xlim=limits, ylim=limits)
    axis.locator_params(nbins=6)
    finish(axis, "true", "predicted")


def _scatter(k: int, name: str, true: np.ndarray, predicted: np.ndarray) -> Chart:
    figure = new_figure(WIDTH, 3.9)
    _draw_scatter(figure.subplots(), true, predicted)
    spread = predicted.std() / true.std() if true.std() else np.nan
    note = f"On the dashed line, the prediction is right. The predictions spread {spread:.0%} as much as the truth."
    if len(true) > POINTS:
        note += f" {len(true):,} points: the darker, the more."
    return Chart(f"scatter-{k}", f"Predicted and true{name}", note, f"Scatter plot. {note}", figure)


def _bias(k: int, name: str, true: np.ndarray, predicted: np.ndarray) -> Chart:
    bias = bias_by_prediction(true, predicted)
    figure = new_figure(WIDTH, 3.9)
    axis = figure.subplots()
    axis.axhline(0, color=INK, alpha=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axis.fill_between(bias.predicted, bias.low, bias.high, color=GOOD, alpha=0.18, linewidth=0)
    axis.plot(bias.predicted, bias.error, "o-", color=GOOD, markersize=5, linewidth=1.4)
    axis.locator_params(nbins=6)
    finish(axis, "predicted", "predicted − true")
    fewest, most = int(bias.rows.min()), int(bias.rows.max())
    note = (
        f"Mean error of {len(bias.rows)} bins of {fewest:,}{f' to {most:,}' if most > fewest else ''} predictions, and "
        f"the band of the middle 80 %. Above the dashed line it says too much."
    )
    return Chart(f"bias-{k}", f"Errors by prediction{name}", note, f"Line chart. {note}", figure)
