"""An ensemble's report: one page that needs nothing but itself, and a picture beside it."""

from pathlib import Path

from blending.evidence import FEW_ROWS, in_words
from competition.contest import Contest
from competition.files import atomic_open
from competition.images import show_images
from competition.medals import MEDALS
from competition.rows.tables import Rows
from pipeline.drawing import Chart
from pipeline.ensemble import Ensemble
from pipeline.ensemble_text import decision_values
from pipeline.examples import examples, heading
from pipeline.findings import Findings
from pipeline.overview import draw_overview
from pipeline.page import Html, element, joined, page, picture, signed
from pipeline.report_errors import errors_section
from pipeline.report_members import members_section, runs_section
from pipeline.report_trust import trust_section

CLASSES = 24  # with examples, at most
WORDS = {
    "best": "the single member of least {loss}",
    "uniform": "equal weights",
    "greedy": "members picked one by one, with repetition",
    "convex": "weights of least {loss}, averaged over samples of the rows",
    "convex_calibrated": "convex weights, then one power for all probabilities, which makes them sharper or softer",
    "log_linear": "a weighted product of the probabilities",
    "most_probable": "the most probable class",
    "prior": "the most probable class after weighting with a power of the classes' shares",
    "multipliers": "the most probable class after weighting every class",
    "cut_points": "the expected class, cut at fitted points",
    "threshold": "every class at or above one probability",
    "thresholds": "every class at or above a probability of its own",
}


def write_report(
    contest: Contest, ensemble: Ensemble, rows: Rows, findings: Findings, charts: dict[str, Chart], folder: Path
) -> Path:
    """Write overview.png and report.html to the ensemble's folder, and return the page's path.

    Raises DataError when an image cannot be read.
    """
    with atomic_open(folder / "overview.png", "wb") as file:
        file.write(draw_overview(contest, ensemble, rows, findings))
    wrong = "Mistakes" if contest.spec.target.family in ("classes", "labels") else "Errors"
    sections = {
        "Runs": runs_section(contest, ensemble, charts),
        wrong: errors_section(contest, findings, charts),
        "Trust": trust_section(contest, findings, charts, folder.name),
        "Members": members_section(contest, ensemble, findings, charts),
        "Examples": _examples(contest, rows),
    }
    sections = {name: content for name, content in sections.items() if content}
    body = page(
        f"{contest.spec.title}: {folder.name}",
        element("h1", contest.spec.title),
        element("p", f"Ensemble {folder.name}", class_="soft"),
        element(
            "nav", joined([element("a", name, href=f"#{name.lower()}") for name in sections]), aria_label="Sections"
        ),
        _headline(contest, ensemble, findings),
        *(
            element("section", element("h2", name), content, id=name.lower(), aria_label=name)
            for name, content in sections.items()
        ),
    )
    path = folder / "report.html"
    with atomic_open(path) as file:
        file.write(body)
    return path


def _headline(contest: Contest, ensemble: Ensemble, findings: Findings) -> Html:
    metric, evidence = contest.metric.name, ensemble.evidence
    low, high = findings.interval
    best, n = ensemble.members[ensemble.best].name, len(ensemble.nested)
    looks = {"the ensemble is better": " better", "the ensemble is worse": " worse"}.get(evidence.verdict, "")
    score = element(
        "div",
        element("p", f"Expected {metric}", class_="soft"),
        element("p", f"{ensemble.honest.score:.4f}", class_="big"),
        element("p", in_words(low, high, "{:.4f}".format)),
        element(
            "p",
            f"Nested: each of {len(evidence.folds)} folds is blended with weights fitted on the others; "
            f"{n:,} rows. The interval is that of as many new rows of the same kind.",
            class_="soft",
        ),
        class_="card",
    )
    folds = [
        element("li", f"fold {k} {sign} {abs(gain):.4f}")
        for k, (sign, gain) in enumerate(zip(evidence.signs, evidence.folds, strict=True))
    ]
    verdict = element(
        "div",
        element("p", f"Against the best single member, {best}", class_="soft"),
        element("p", evidence.verdict, class_="verdict"),
        element("p", f"{signed(evidence.gain)} {metric}, {in_words(evidence.low, evidence.high, signed)}"),
        element("ul", joined(folds), class_="signs", aria_label="Gain in each fold"),
        element("p", f"+ is better. Alone, {best} has {ensemble.alone.score:.4f}.", class_="soft"),
        class_="card" + looks,
    )
    cards = element("div", score, verdict, class_="headline")
    facts = [
        element("div", element("dt", name), element("dd", said), class_="long" if len(said) > 24 else None)
        for name, said in _facts(contest, ensemble, findings)
    ]
    return joined([cards, *_warnings(ensemble), element("dl", *facts)])


def _warnings(ensemble: Ensemble) -> list[Html]:
    said = []
    if ensemble.selected_on_oof:
        names = [ensemble.members[j].name for j in ensemble.fitted.blend.used if ensemble.members[j].selected_on_oof]
        said.append(
            f"Too good: the epochs of {', '.join(names)} were chosen on the held-out folds that are scored here "
            "(selected on OOF)."
        )
    if ensemble.evidence.rows < FEW_ROWS:
        what = "rows" if ensemble.library.groups is None else "groups of rows"
        said.append(f"Fewer than {FEW_ROWS} {what}: too few to call the ensemble better or worse.")
    return [element("p", each, class_="card warning") for each in said]


def _facts(contest: Contest, ensemble: Ensemble, findings: Findings) -> list[tuple[str, str]]:
    fitted, metric, loss, medals = ensemble.fitted, contest.metric, contest.spec.target.loss_name, contest.spec.medals
    used, power = len(fitted.blend.used), fitted.blend.power
    facts = [
        ("in sample: too good", f"{ensemble.in_sample.score:.4f}"),
        (f"{loss}, nested", f"{ensemble.honest.loss:.4f}"),
        ("members that weigh", f"{used} of {len(ensemble.members)}"),
        (
            "method",
            f"{fitted.method}: {WORDS[fitted.method].format(loss=loss)}"
            + (f" (power {power:.3f})" if power != 1 else ""),
        ),
    ]
    if ensemble.decision.kind != "most_probable":
        kind, values = ensemble.decision.kind, decision_values(ensemble.decision)
        facts.append(("classes are decided by", f"{kind}: {WORDS[kind]} ({values})"))
    if ensemble.uncapped is not None:
        price = metric.gain(ensemble.uncapped.score, ensemble.honest.score)
        more = ensemble.honest.loss - ensemble.uncapped.loss
        said = f"{signed(price, '')} {metric.name} and {signed(more, '')} {loss}"
        free = f" (without the cap: {ensemble.uncapped.score:.4f})"
        facts.append((f"to have at most {ensemble.options.cap} members costs", said + free))
    if findings.place is not None:
        borders = {name: border for name in MEDALS if (border := getattr(medals, name)) is not None}
        listed = ", ".join(f"{name} {border:g}" for name, border in borders.items())
        said = f"{findings.place}" + (f" (thresholds: {listed})" if listed else "")
        facts.append(("would have stood, indicative", said))
    return facts


def _examples(contest: Contest, rows: Rows) -> Html:
    classes, family = contest.classes, contest.spec.target.family
    shown = examples(rows, classes, family, CLASSES)
    images = show_images([rows.picture(i) for _, some in shown for i in some])
    blocks = [
        element(
            "div",
            element("h3", name),
            element(
                "div", joined([picture(next(images), f"{name}: {rows.ids[i]}", 160) for i in some]), class_="examples"
            ),
        )
        for name, some in shown
    ]
    more = 0 if family == "values" else len(classes) - len(shown)
    note = [element("p", f"The other {more:,} classes are not shown.", class_="soft")] if more else []
    return joined(
        [
            element("p", f"{heading(classes, family)}.", class_="soft"),
            element("div", joined(blocks), class_="classes"),
            *note,
        ]
    )
