"""report.html of an ensemble: one file to look at, without a network."""

from pathlib import Path

import numpy as np

from blending.evidence import FEW_ROWS
from competition.contest import Contest
from competition.files import atomic_open
from competition.images import read_images
from competition.metrics import METRICS
from competition.tables import Rows
from pipeline.charts import Chart
from pipeline.drawing import svg
from pipeline.ensemble import Ensemble
from pipeline.findings import Findings, expected
from pipeline.mistakes import read_mistakes
from pipeline.overview import draw_overview
from pipeline.page import Html, breakable, element, joined, page, picture, table

CLASSES = 24  # with examples, at most
EXAMPLES = 6  # of a class
LISTED = 12  # submissions in the table, the newest
WORDS = {
    "best": "the single member of least log loss",
    "uniform": "equal weights",
    "greedy": "members picked one by one, with repetition",
    "convex": "weights of least log loss, averaged over samples of the rows",
    "convex_calibrated": "convex weights, then one power for all probabilities, which makes them sharper or softer",
    "log_linear": "a weighted product of the probabilities",
    "most_probable": "the most probable class",
    "prior": "the most probable class after weighting with a power of the classes' shares",
    "multipliers": "the most probable class after weighting every class",
    "cut_points": "the expected class, cut at fitted points",
}


def write_report(
    contest: Contest, ensemble: Ensemble, rows: Rows, findings: Findings, charts: dict[str, Chart], folder: Path
) -> Path:
    """Write overview.png and report.html to the ensemble's folder, and return the page's path.

    Raises DataError when an image cannot be read.
    """
    with atomic_open(folder / "overview.png", "wb") as file:
        file.write(draw_overview(contest, ensemble, rows, findings))
    sections = {
        "Runs": _runs(contest, ensemble, charts),
        "Mistakes": _mistakes(contest, findings, charts),
        "Trust": _trust(contest, findings, charts, folder.name),
        "Members": _members(ensemble, findings, charts),
        "Examples": _examples(rows, contest.spec.target.classes),
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
    metric, evidence = contest.spec.metric.name, ensemble.evidence
    low, high = findings.interval
    best, n = ensemble.members[ensemble.best].name, len(ensemble.nested)
    looks = {"the ensemble is better": " better", "the ensemble is worse": " worse"}.get(evidence.verdict, "")
    score = element(
        "div",
        element("p", f"Expected {metric}", class_="soft"),
        element("p", f"{ensemble.honest.score:.4f}", class_="big"),
        element("p", f"95 %: {low:.4f} to {high:.4f}"),
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
        element("p", f"{_signed(evidence.gain)} {metric}, 95 %: {_signed(evidence.low)} to {_signed(evidence.high)}"),
        element("ul", joined(folds), class_="signs", aria_label="Gain in each fold"),
        element("p", f"+ is better. Alone, {best} has {ensemble.single[ensemble.best].score:.4f}.", class_="soft"),
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
    if len(ensemble.nested) < FEW_ROWS:
        said.append(f"Fewer than {FEW_ROWS} rows: too few to call the ensemble better or worse.")
    return [element("p", each, class_="card warning") for each in said]


def _facts(contest: Contest, ensemble: Ensemble, findings: Findings) -> list[tuple[str, str]]:
    spec, fitted = contest.spec, ensemble.fitted
    metric = METRICS[spec.metric.name]
    used, power = len(fitted.blend.used), fitted.blend.power
    facts = [
        ("in sample: too good", f"{ensemble.in_sample.score:.4f}"),
        ("log loss, nested", f"{ensemble.honest.log_loss:.4f}"),
        ("members that weigh", f"{used} of {len(ensemble.members)}"),
        ("method", f"{fitted.method}: {WORDS[fitted.method]}" + (f" (power {power:.3f})" if power != 1 else "")),
    ]
    if ensemble.decision.kind != "most_probable":
        kind, values = ensemble.decision.kind, ensemble.decision.values
        shown = ", ".join(f"{value:.3g}" for value in values[:CLASSES])
        more = f", and {len(values) - CLASSES} more" if len(values) > CLASSES else ""
        facts.append(("classes are decided by", f"{kind}: {WORDS[kind]} ({shown}{more})"))
    if ensemble.uncapped is not None:
        price = metric.gain(ensemble.uncapped.score, ensemble.honest.score)
        loss = ensemble.honest.log_loss - ensemble.uncapped.log_loss
        said = f"{_signed(price, '')} {metric.name} and {_signed(loss, '')} log loss"
        free = f" (without the cap: {ensemble.uncapped.score:.4f})"
        facts.append((f"to have at most {ensemble.options.cap} members costs", said + free))
    if spec.medals is not None:
        thresholds = {name: score for name, score in spec.medals.model_dump().items() if score is not None}
        listed = ", ".join(f"{name} {score:g}" for name, score in thresholds.items())
        facts.append(("medal, indicative", f"{findings.medal or 'none'} (thresholds: {listed})"))
    return facts


def _runs(contest: Contest, ensemble: Ensemble, charts: dict[str, Chart]) -> Html:
    metric = contest.spec.metric.name
    rows = []
    for rank, j in enumerate(ensemble.ranking, 1):
        member, score, w = ensemble.members[j], ensemble.single[j], ensemble.weights[j]
        mark = " (selected on OOF: too good)" if member.selected_on_oof else ""
        seeds = f" ({', '.join(run.name for run in member.runs)})" if len(member.runs) > 1 else ""
        rows.append(
            (
                None if w else "nothing",
                [
                    rank,
                    member.name + seeds + mark,
                    f"{score.score:.4f}",
                    f"{member.spread:.4f}",
                    f"{score.log_loss:.4f}",
                    f"{w:.3f} ± {ensemble.fitted.spread[j]:.3f}",
                    f"{member.images_per_second:.0f}",
                    f"{member.minutes:.1f}",
                ],
            )
        )
    totals = [("ensemble, nested", ensemble.honest), ("ensemble, in sample", ensemble.in_sample)]
    if ensemble.uncapped is not None:
        totals.append(("nested, without the cap", ensemble.uncapped))
    blends = [
        ("total", ["", name, f"{score.score:.4f}", "", f"{score.log_loss:.4f}", "", "", ""]) for name, score in totals
    ]
    head = ["#", "run", metric, "sd", "log loss", "weight ± sd", "images/s", "minutes"]
    parts = [
        table("Runs", head, rows, blends, text=(1,)),
        element(
            "p",
            "Best log loss first. sd of the score: over folds; of the weight: over samples of the rows, or over folds. "
            "Images per second and minutes are those of the training, all folds.",
            class_="soft",
        ),
    ]
    if ensemble.left_out:
        left_out = [("nothing", [name, why]) for name, why in ensemble.left_out.items()]
        parts.append(table("Runs left out", ["left out", "because"], left_out, text=(0, 1)))
    tried = [
        ("taken", [f"{each.method} (taken)", f"{each.loss:.4f}"])
        if each is ensemble.fitted
        else (None, [each.method, f"{each.loss:.4f}"])
        for each in ensemble.tried
    ]
    methods = element(
        "div",
        element("h3", "Methods tried"),
        table("Methods tried", ["method", "nested log loss"], tried),
        element(
            "p",
            "Convex weights are taken, unless a richer method lowers the nested log loss by more than one standard "
            "error, and below that of everything simpler.",
            class_="soft",
        )
        if len(tried) > 1
        else Html(),
    )
    return joined([*parts, element("div", _figure(charts["weights"]), methods, class_="charts")])


def _mistakes(contest: Contest, findings: Findings, charts: dict[str, Chart]) -> Html:
    classes, n = contest.spec.target.classes, len(findings.predicted)
    summary = f"{findings.wrong:,} of {n:,} rows are predicted wrongly by weights that did not see them."
    right: list[Html] = []
    if findings.pairs:
        pairs = [
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
            for pair in findings.pairs
        ]
        head = ["true → predicted", "rows", "share", "reverse", "share"]
        right = [
            element("h3", "Hardest pairs of classes"),
            table("Hardest pairs of classes", head, pairs),
            element("p", "Shares of the true class. Both directions together decide the order.", class_="soft"),
        ]
    parts = [
        element("p", summary),
        element("div", _figure(charts["confusion"]), element("div", *right), class_="charts"),
    ]
    if findings.mistakes:
        shown = zip(findings.mistakes, read_mistakes(list(findings.mistakes)), strict=True)
        tiles = [
            element(
                "figure",
                picture(image, mistake.caption, 256),
                element(
                    "figcaption",
                    element("span", "said ", element("b", breakable(mistake.predicted)), f" {mistake.p_predicted:.1%}"),
                    element("span", "is ", element("b", breakable(mistake.true)), f" {mistake.p_true:.1%}"),
                    element("span", mistake.id, class_="soft"),
                ),
            )
            for mistake, image in shown
        ]
        parts += [
            element("h3", f"The {len(tiles)} surest mistakes: predicted class, true class, their probabilities"),
            element("div", joined(tiles), class_="gallery"),
        ]
    return joined(parts)


def _trust(contest: Contest, findings: Findings, charts: dict[str, Chart], name: str) -> Html:
    if not findings.submissions:
        hint = f"./submit.sh -c {contest.slug} sends the submission and keeps its score for this place."
        nothing = element("div", element("h3", "Expected and scored"), element("p", f"Nothing is scored yet: {hint}"))
        return element("div", _figure(charts["reliability"]), nothing, class_="charts")
    rows = []
    for entry in list(reversed(findings.submissions))[:LISTED]:
        scores = [expected(entry), entry.public_score, entry.private_score]
        looks = "taken" if entry.ensemble == name else None
        when = entry.time.replace("T", " ")[:16]
        rows.append((looks, [when, entry.ensemble or entry.file, *("–" if s is None else f"{s:.4f}" for s in scores)]))
    both = [(expected(entry), entry.public_score) for entry in findings.submissions]
    gaps = [public - nested for nested, public in both if nested is not None and public is not None]
    said = []
    if gaps:
        spread = f", from {_signed(min(gaps))} to {_signed(max(gaps))}" if len(gaps) > 1 else ""
        said.append(f"Public minus expected: {_signed(np.mean(gaps))} on average of {len(gaps)}{spread}.")
    if len(findings.submissions) > len(rows):
        said.append(f"{len(findings.submissions) - len(rows)} older ones are in the ledger.")
    head = ["time, UTC", "ensemble or file", "expected", "public", "private"]
    return joined(
        [
            _figures(charts, "reliability", "leaderboard"),
            element("h3", "Submissions"),
            table("Submissions", head, rows, text=(1,)),
            element("p", " ".join(said), class_="soft"),
        ]
    )


def _members(ensemble: Ensemble, findings: Findings, charts: dict[str, Chart]) -> Html:
    names = [member.name for member in ensemble.members]
    said = []
    if 1 == len(findings.gain.members) < len(names):
        said.append(f"A linear blend of least log loss gives all weight to {names[findings.gain.members[0]]}.")
    if len(names) == 2:
        r = findings.correlation[0, 1]
        said.append(
            f"Row by row, the losses of the two members correlate by {r:.2f}: the lower, the more they can help."
        )
    return joined(
        [element("p", " ".join(said)) if said else Html(), _figures(charts, "gain", "absence", "correlation")]
    )


def _examples(rows: Rows, classes: tuple[str, ...]) -> Html:
    shown = [(name, np.flatnonzero(rows.labels == k)[:EXAMPLES]) for k, name in enumerate(classes[:CLASSES])]
    images = read_images([rows.images[i] for _, some in shown for i in some])
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
    more = len(classes) - len(shown)
    note = [element("p", f"The other {more} classes are not shown.", class_="soft")] if more else []
    return joined([element("div", joined(blocks), class_="classes"), *note])


def _figures(charts: dict[str, Chart], *names: str) -> Html:
    drawn = [_figure(charts[name]) for name in names if name in charts]
    return element("div", *drawn, class_="charts") if drawn else Html()


def _figure(chart: Chart) -> Html:
    drawing = Html(svg(chart.figure, chart.name, chart.description))
    return element("figure", element("h3", chart.title), drawing, element("figcaption", chart.note))


def _signed(value: float, plus: str = "+") -> str:
    return f"{value:{plus}.4f}".replace("-", "−")
