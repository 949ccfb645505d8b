"""The report's sections on the runs: their scores and weights, and what each is worth to the others."""

from competition.contest import Contest
from pipeline.drawing import Chart
from pipeline.ensemble import Ensemble
from pipeline.findings import Findings
from pipeline.page import Html, element, figure, figures, joined, table


def runs_section(contest: Contest, ensemble: Ensemble, charts: dict[str, Chart]) -> Html:
    metric, loss = contest.metric.name, contest.spec.target.loss_name
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
                    member.spread(metric),
                    f"{score.loss:.4f}",
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
        ("total", ["", name, f"{score.score:.4f}", "", f"{score.loss:.4f}", "", "", ""]) for name, score in totals
    ]
    head = ["#", "run", metric, "sd", loss, "weight ± sd", "images/s", "minutes"]
    parts = [
        table("Runs", head, rows, blends, text=(1,)),
        element(
            "p",
            f"Least {loss} first. sd of the score: over folds; of the weight: over samples of the rows, or over folds. "
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
        table("Methods tried", ["method", f"nested {loss}"], tried),
        element(
            "p",
            f"Convex weights are taken, unless a richer method lowers the nested {loss} by more than one standard "
            "error, and below that of everything simpler.",
            class_="soft",
        )
        if len(tried) > 1
        else Html(),
    )
    return joined([*parts, element("div", figure(charts["weights"]), methods, class_="charts")])


def members_section(contest: Contest, ensemble: Ensemble, findings: Findings, charts: dict[str, Chart]) -> Html:
    names = [member.name for member in ensemble.members]
    said = []
    if 1 == len(findings.gain.members) < len(names):
        loss, only = contest.spec.target.loss_name, names[findings.gain.members[0]]
        said.append(f"A linear blend of least {loss} gives all weight to {only}.")
    if len(names) == 2:
        r = findings.correlation[0, 1]
        said.append(
            f"Row by row, the losses of the two members correlate by {r:.2f}: the lower, the more they can help."
        )
    return joined([element("p", " ".join(said)) if said else Html(), figures(charts, "gain", "absence", "correlation")])
