"""The report's section on mistakes, for every kind of target."""

import numpy as np

from competition.contest import Contest
from pipeline.class_errors import ClassErrors
from pipeline.drawing import Chart
from pipeline.findings import Findings
from pipeline.label_errors import LabelErrors
from pipeline.mistakes import TITLES, Answer, read_mistakes
from pipeline.number_errors import NumberErrors
from pipeline.page import Html, breakable, element, figure, figures, joined, picture, table

NUMBERS = 40  # in the table
LEGEND = {
    "classes": "predicted class, true class, their probabilities",
    "labels": "a class that is not there, or one that was missed; p is what it was given",
    "shares": "the class that is furthest off, and its shares",
    "values": "predicted and true",
}


def errors_section(contest: Contest, findings: Findings, charts: dict[str, Chart]) -> Html:
    errors, classes = findings.errors, contest.classes
    if isinstance(errors, ClassErrors):
        parts = _of_classes(errors, classes, charts)
    elif isinstance(errors, LabelErrors):
        parts = _of_labels(errors, classes)
    else:
        parts = _of_numbers(errors, classes, contest.spec.target.family, charts)
    return joined([*parts, *_gallery(contest, findings)])


def _of_classes(errors: ClassErrors, classes: tuple[str, ...], charts: dict[str, Chart]) -> list[Html]:
    summary = (
        f"{errors.wrong:,} of {len(errors.predicted):,} rows are predicted wrongly by weights that did not see them."
    )
    pairs: list[Html] = []
    if errors.pairs:
        lines = [
            (
                None,
                [
                    breakable(f"{classes[pair.one]} → {classes[pair.other]}"),
                    pair.count,
                    f"{pair.share:.1%}",
                    pair.back,
                    f"{pair.share_back:.1%}",
                ],
            )
            for pair in errors.pairs
        ]
        head = ["true → predicted", "rows", "share", "reverse", "share"]
        pairs = [
            element("h3", "Hardest pairs of classes"),
            table("Hardest pairs of classes", head, lines),
            element("p", "Shares of the true class. Both directions together decide the order.", class_="soft"),
        ]
    drawn = [figure(charts["confusion"])] if "confusion" in charts else []
    return [element("p", summary), element("div", *drawn, element("div", *pairs), class_="charts")]


def _of_labels(errors: LabelErrors, classes: tuple[str, ...]) -> list[Html]:
    summary = (
        f"{errors.wrong_rows:,} of {errors.rows:,} rows have a class too many or too few, as decided by weights that "
        f"did not see them: {errors.missed:,} classes were missed, {errors.invented:,} said that are not there."
    )
    lines = [
        (
            None,
            [
                breakable(classes[k]),
                f"{errors.positives[i]:,}",
                f"{errors.positives[i] / errors.rows:.1%}",
                "–" if np.isnan(errors.auc[i]) else f"{errors.auc[i]:.4f}",
                f"{errors.said[i]:,}",
                f"{errors.precision[i]:.3f}",
                f"{errors.recall[i]:.3f}",
                f"{errors.f1[i]:.3f}",
            ],
        )
        for i, k in enumerate(errors.listed)
    ]
    note = "Rows that have the class, and of which it was said; precision, recall and F1 of what was said."
    if len(lines) < len(classes):
        note += f" The other {len(classes) - len(lines):,} classes have fewer rows."
    head = ["class", "rows", "share", "AUC", "said", "precision", "recall", "F1"]
    return [
        element("p", summary),
        element("h3", "Each class"),
        table("Each class", head, lines),
        element("p", note, class_="soft"),
    ]


def _of_numbers(errors: NumberErrors, names: tuple[str, ...], family: str, charts: dict[str, Chart]) -> list[Html]:
    lines = [
        (
            None,
            [
                breakable(name),
                f"{errors.true[:, k].mean():.4g}",
                f"{errors.true[:, k].std():.4g}",
                f"{errors.rmse[k]:.4g}",
                f"{errors.mae[k]:.4g}",
                f"{errors.bias[k]:+.3g}".replace("-", "−"),
                "–" if np.isnan(errors.explained[k]) else f"{errors.explained[k]:.1%}".replace("-", "−"),
            ],
        )
        for k, name in enumerate(names[:NUMBERS])
    ]
    what = "share of" if family == "shares" else "number"
    head = [what, "mean", "sd", "RMSE", "mean absolute", "bias", "explained"]
    note = (
        f"Of {len(errors.true):,} rows, predicted by weights that did not see them. RMSE: root of the mean squared "
        "error; mean absolute error; bias: mean error, + is too much; explained: share of the variance."
    )
    if len(lines) < len(names):
        note += f" The other {len(names) - len(lines):,} are not listed."
    drawn = [name for name in charts if name.startswith(("scatter", "bias"))]
    return [
        table("Errors", head, lines),
        element("p", note, class_="soft"),
        figures(charts, *drawn),
    ]


def _gallery(contest: Contest, findings: Findings) -> list[Html]:
    if not findings.mistakes:
        return []
    family = contest.spec.target.family
    tiles = [
        element(
            "figure",
            picture(image, mistake.caption, 256),
            element(
                "figcaption",
                _answer("said ", mistake.predicted),
                _answer("is ", mistake.true),
                element("span", mistake.id, class_="soft"),
            ),
        )
        for mistake, image in zip(findings.mistakes, read_mistakes(list(findings.mistakes)), strict=True)
    ]
    return [
        element("h3", f"The {len(tiles)} {TITLES[family]}: {LEGEND[family]}"),
        element("div", joined(tiles), class_="gallery"),
    ]


def _answer(verb: str, answer: Answer) -> Html:
    return element("span", verb, element("b", breakable(answer.what)), f" {answer.note}")
