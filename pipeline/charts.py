"""The charts of an ensemble. Each stays legible on a phone: what does not fit is not drawn, and the note says so."""

from typing import Any

import numpy as np

from competition.contest import Contest
from pipeline.calibration import Z
from pipeline.drawing import BAD, FAINT, GOOD, INK, LETTERS, WIDTH, Chart, finish, new_figure, rgb, short, write
from pipeline.ensemble import Ensemble
from pipeline.error_charts import error_charts
from pipeline.findings import Findings, expected

MEMBERS = 16  # that fit under each other, or beside each other
SUBMISSIONS = 60  # the newest


def draw_charts(contest: Contest, ensemble: Ensemble, findings: Findings) -> dict[str, Chart]:
    """Every chart that the ensemble gives reason to, by name."""
    loss = contest.spec.target.loss_name
    charts = [_weights(ensemble), *error_charts(contest, findings)]
    if len(findings.gain.members) > 1:
        charts.append(_gain(ensemble, findings, loss))
    if len(ensemble.members) > 2:
        charts.append(_correlation(ensemble, findings))
    if findings.absence:
        charts.append(_absence(ensemble, findings, loss))
    if any(expected(entry) is not None for entry in findings.submissions):
        charts.append(_leaderboard(contest, ensemble, findings))
    return {chart.name: chart for chart in charts}


def weight_bars(axis: Any, ensemble: Ensemble) -> list[int]:
    """Draw the heaviest members' weights with their spread into an axis; return the members that were drawn."""
    used = ensemble.fitted.blend.used
    shown = [int(j) for j in used[np.argsort(-ensemble.weights[used], kind="stable")][:MEMBERS]]
    weights, spread = ensemble.weights[shown], ensemble.fitted.spread[shown]
    _bars(axis, [label(ensemble, j) for j in shown], weights, [f"{w:.3f}" for w in weights], spread)
    finish(axis, "weight", grid="x")
    axis.tick_params(axis="y", length=0)
    return shown


def label(ensemble: Ensemble, j: int) -> str:
    """A member by its number in the table of runs, and its name."""
    return f"{int(np.flatnonzero(ensemble.ranking == j)[0]) + 1}  {short(ensemble.members[j].name, LETTERS)}"


def _weights(ensemble: Ensemble) -> Chart:
    used = len(ensemble.fitted.blend.used)
    figure, axis = _lines(min(MEMBERS, used))
    shown = weight_bars(axis, ensemble)
    note = "Whiskers: the weights' standard deviation over samples of the rows, or over folds."
    if ensemble.fitted.blend.rule == "log_linear":
        total = ensemble.weights.sum()
        note += f" They are exponents of probabilities; their sum, {total:.2f}, need not be 1: above 1 sharpens."
    if used > len(shown):
        rest = np.delete(ensemble.weights, shown).sum()
        note += f" Not drawn: {used - len(shown)} lighter ones that weigh {rest:.3f} together."
    if used < len(ensemble.members):
        note += f" Members that weigh nothing: {len(ensemble.members) - used}."
    said = ", ".join(f"{ensemble.members[j].name} {ensemble.weights[j]:.3f}" for j in shown)
    return Chart("weights", "Weights", note, f"Bars of the weights: {said}", figure)


def _gain(ensemble: Ensemble, findings: Findings, loss: str) -> Chart:
    curve = findings.gain
    members, n = curve.members[:MEMBERS], len(curve.members)
    names = [("" if i == 0 else "+ ") + label(ensemble, j) for i, j in enumerate(members)]
    figure, axis = _lines(len(members), legend=True)
    places = np.arange(len(members))
    style = {"linewidth": 1.4, "markersize": 5, "clip_on": False}
    axis.plot(curve.in_sample[:MEMBERS], places, "o--", color=BAD, markerfacecolor="none", label="in sample", **style)
    axis.plot(curve.nested[:MEMBERS], places, "o-", color=GOOD, label="nested", **style)
    axis.set_yticks(places, names, parse_math=False)
    axis.set_ylim(len(members) - 0.5, -0.5)
    axis.locator_params(axis="x", nbins=5)
    finish(axis, loss)
    axis.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    best = int(np.argmin(curve.nested))
    note = (
        f"{loss.capitalize()} of the best linear blend of the first member, the first two, and so on, the most "
        "valuable first. "
        f"Nested, it is least with {best + 1} of {n}: {curve.nested[best]:.4f}, against {curve.nested[0]:.4f} with one."
    )
    if n < len(ensemble.members):
        note += f" To the others ({len(ensemble.members) - n}) it gives no weight."
    if n > len(members):
        rest = curve.nested[-1] - curve.nested[MEMBERS - 1]
        note += f" Not drawn: the last {n - len(members)}, which change it by {rest:+.4f}."
    said = ", ".join(f"{i}: {value:.4f}" for i, value in enumerate(curve.nested, 1))
    description = f"{loss.capitalize()} against the number of members. Nested, by number: {said}"
    note += _sample_note(ensemble, findings)
    return Chart("gain", "What each further member brings", note, description, figure)


def _absence(ensemble: Ensemble, findings: Findings, loss: str) -> Chart:
    order = sorted(findings.absence, key=lambda j: -findings.absence[j])
    shown = order[:MEMBERS]
    losses = np.array([findings.absence[j] for j in shown])
    figure, axis = _lines(len(shown))
    _bars(axis, [label(ensemble, j) for j in shown], losses, [f"{rise:+.4f}" for rise in losses])
    axis.locator_params(axis="x", nbins=4)
    finish(axis, f"rise of the nested {loss} without it", grid="x")
    axis.tick_params(axis="y", length=0)
    note = "Each member is left out and the others are weighted anew, linearly."
    if (losses < 0).any():
        note += " Orange: better without."
    if len(order) > len(shown):
        note += f" Not drawn: {len(order) - len(shown)} that matter less."
    said = ", ".join(f"{ensemble.members[j].name} {findings.absence[j]:+.4f}" for j in shown)
    description = f"Rise of the {loss} without each member: {said}"
    note += _sample_note(ensemble, findings)
    return Chart("absence", "What is lost without each", note, description, figure)


def _correlation(ensemble: Ensemble, findings: Findings) -> Chart:
    shown = ensemble.ranking[:MEMBERS]
    r, m = findings.correlation[np.ix_(shown, shown)], len(shown)
    apart = r[np.triu_indices(m, 1)]
    low, high = apart.min() - 0.05, apart.max() + 0.05  # of the colours: the members of one contest are much alike
    cells = np.empty((m, m, 4))
    cells[..., :3], cells[..., 3] = rgb(GOOD), np.where(np.eye(m), 0, (r - low) / (high - low)).clip(0, 1)
    figure = new_figure(WIDTH, 0.7 + max(0.24 * m, 1.0))
    axis = figure.subplots()
    axis.imshow(cells, interpolation="none", aspect="auto")
    for (i, j), value in np.ndenumerate(r):
        if m <= 8 and i != j:
            colour = "white" if cells[i, j, 3] > 0.6 else INK
            write(axis, j, i, f"{value:.2f}", ha="center", va="center", color=colour)
    axis.set_yticks(range(m), [label(ensemble, int(j)) for j in shown], parse_math=False)
    numbers = range(0, m, 2 if m > 9 else 1)
    axis.set_xticks(numbers, [str(i + 1) for i in numbers])
    finish(axis)
    axis.grid(False)
    axis.tick_params(length=0)
    note = (
        f"Correlation of the members' losses, row by row: from {apart.min():.2f}, pale, to {apart.max():.2f}, dark. "
        "The lower, the more two members can help each other."
    )
    if len(ensemble.members) > m:
        note += f" Drawn: the best {m} of {len(ensemble.members)}."
    return Chart("correlation", "Do they fail together?", note, f"Heat map of {m} members. {note}", figure)


def _leaderboard(contest: Contest, ensemble: Ensemble, findings: Findings) -> Chart:
    metric, shown = contest.metric.name, findings.submissions[-SUBMISSIONS:]
    figure = new_figure(WIDTH, 3.2)
    axis = figure.subplots()
    known = [entry for entry in shown if expected(entry) is not None]
    scores = [ensemble.honest.score]
    if not np.isnan(findings.interval[0]):
        scores += findings.interval
        axis.axvspan(*findings.interval, color=INK, alpha=0.08, linewidth=0)
    axis.axvline(ensemble.honest.score, color=INK, alpha=FAINT, linewidth=1.2)
    n = len(ensemble.nested)
    for name, marker, colour, fill in (("public", "o", GOOD, GOOD), ("private", "D", BAD, "none")):
        points = [(expected(entry), getattr(entry, f"{name}_score")) for entry in known]
        points = [(x, y) for x, y in points if y is not None]
        if not points:
            continue
        x, y = np.array(points).T
        scores += [*x, *y]
        error = Z * np.sqrt(np.clip(x * (1 - x), 0, None) / n) if metric == "accuracy" else None
        style = {"markersize": 6, "elinewidth": 0.9, "capsize": 0, "markerfacecolor": fill}
        axis.errorbar(x, y, xerr=error, fmt=marker, color=colour, label=name, **style)
    low, high = min(scores), max(scores)
    margin = 0.06 * (high - low or 1)
    line = [low - margin, high + margin]
    axis.plot(line, line, color=INK, alpha=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axis.set(xlim=line, ylim=line)
    axis.locator_params(nbins=5)
    finish(axis, f"nested out-of-fold {metric}", f"leaderboard {metric}")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    note = "Vertical: the nested score of this ensemble, and its 95 % interval. On the dashed line, both scores agree."
    if metric == "accuracy":
        note += " Whiskers: 95 % for as many rows as were trained on; the leaderboard has its own doubt, of fewer rows."
    if len(findings.submissions) > len(shown):
        note += f" The newest {len(shown)} of {len(findings.submissions)} submissions."
    description = f"Leaderboard scores of {len(known)} submissions against what was expected of them"
    return Chart("leaderboard", "Expected and scored", note, description, figure)


def _lines(n: int, legend: bool = False) -> tuple[Any, Any]:
    """A figure with one axis of n lines of text."""
    figure = new_figure(WIDTH, 0.65 + 0.26 * max(n, 2) + 0.25 * legend)
    return figure, figure.subplots()


def _bars(axis: Any, names: list[str], values: np.ndarray, texts: list[str], spread: np.ndarray | None = None) -> None:
    """Horizontal bars from the top down, with whiskers of `spread`; a text behind each."""
    n, ends = len(values), np.maximum(values, 0) if spread is None else values + spread
    colours = [GOOD if value >= 0 else BAD for value in values]
    whiskers = {"ecolor": INK, "elinewidth": 1.1, "capsize": 2.5}
    axis.barh(range(n), values, xerr=spread, color=colours, height=0.62, error_kw=whiskers)
    longest = max(ends.max(), 1e-12)
    width = longest - min(0, values.min())
    for i, (end, text) in enumerate(zip(ends, texts, strict=True)):
        write(axis, end + 0.02 * width, i, text, va="center")
    axis.set_yticks(range(n), names, parse_math=False)
    axis.set_ylim(max(n, 2) - 0.5, -0.5)
    axis.set_xlim(min(0, 1.05 * values.min()), longest + 0.24 * width)


def _sample_note(ensemble: Ensemble, findings: Findings) -> str:
    n = len(ensemble.nested)
    return f" On {findings.compared:,} of {n:,} rows." if findings.compared < n else ""
