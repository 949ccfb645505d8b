"""An ensemble as text, for the terminal."""

from blending.decisions import Decision
from blending.evidence import in_words
from blending.pruning import useless
from competition.contest import Contest
from pipeline.ensemble import KNOWN_BEFORE, Ensemble


def runs_table(contest: Contest, ensemble: Ensemble) -> str:
    """Every candidate with its scores, cost and weight, least loss first; then the blend. As text."""
    metric, loss, family = contest.metric.name, contest.spec.target.loss_name, contest.spec.target.family
    wide, wide_loss = max(10, len(metric) + 2), max(10, len(loss) + 2)
    width = max(24, *(len(member.name) for member in ensemble.members)) + 2
    lines = [
        f"{'run':<{width}}{metric:>{wide}}{'sd':>8}{loss:>{wide_loss}}{'images/s':>10}{'minutes':>9}{'weight ± sd':>15}"
    ]
    for j in ensemble.ranking:
        member, score = ensemble.members[j], ensemble.single[j]
        weight = f"{ensemble.weights[j]:.3f} ± {ensemble.fitted.spread[j]:.3f}"
        lines.append(
            f"{member.name:<{width}}{score.score:>{wide}.4f}{member.spread(metric):>8}{score.loss:>{wide_loss}.4f}"
            f"{member.images_per_second:>10.0f}{member.minutes:>9.1f}{weight:>15}"
            + ("  selected on OOF: too good" if member.selected_on_oof else "")
        )
    lines += [f"left out: {name}, {why}" for name, why in ensemble.left_out.items()]
    if useless(ensemble.library.reduced, ensemble.library.truth):
        lines.append(
            f"{ensemble.members[0].name} is no better than {KNOWN_BEFORE[family]} either: it has learned nothing"
        )
    scores = [("in sample", ensemble.in_sample), ("nested", ensemble.honest)]
    if ensemble.uncapped is not None:
        scores.append(("nested, without the cap", ensemble.uncapped))
    for title, score in scores:
        lines.append(f"{title:<{width}}{score.score:>{wide}.4f}{'':>8}{score.loss:>{wide_loss}.4f}")
    return "\n".join(lines)


def evidence_lines(contest: Contest, ensemble: Ensemble) -> str:
    """Which methods were compared, and whether the ensemble is better than its best member. As text."""
    evidence, best = ensemble.evidence, ensemble.members[ensemble.best].name
    nested = ", ".join(
        f"{each.method} {each.loss:.4f}{' (taken)' if each is ensemble.fitted else ''}" for each in ensemble.tried
    )
    lines = [f"nested {contest.spec.target.loss_name}: {nested}"]
    if ensemble.decision.kind != "most_probable":
        lines.append(f"classes are decided by {ensemble.decision.kind}: {decision_values(ensemble.decision)}")
    lines.append(
        f"nested against {best}: {evidence.gain:+.4f} {contest.metric.name}, "
        f"{in_words(evidence.low, evidence.high, '{:+.4f}'.format)}, folds {evidence.signs}: {evidence.verdict}"
    )
    return "\n".join(lines)


def decision_values(decision: Decision, most: int = 12) -> str:
    """The numbers that a decision uses, or the first of them, and what it does with rows that have none."""
    said = ", ".join(f"{value:.3g}" for value in decision.values[:most])
    if len(decision.values) > most:
        said += f", and {len(decision.values) - most:,} more"
    return said + ("; the most probable class where that is none" if decision.fill else "")
