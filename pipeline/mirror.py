"""An ensemble in Weights & Biases: one run per ensemble, written when everything is on disk."""

import re
from dataclasses import asdict
from pathlib import Path

from competition.contest import Contest
from pipeline.drawing import Chart, pixels
from pipeline.ensemble import Ensemble
from pipeline.findings import Findings
from pipeline.mistakes import read_mistakes
from pipeline.tracking import track


def track_ensemble(
    mode: str, contest: Contest, ensemble: Ensemble, findings: Findings, charts: dict[str, Chart], folder: Path
) -> None:
    """Mirror what the ensemble's folder holds. The same name and split again update the same W&B run."""
    if mode == "disabled":
        return  # nothing is drawn for nobody
    metric, split = contest.metric.name, ensemble.runs[0].folds_sha256[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", folder.name)  # what W&B allows in an id
    pictures = {chart: pixels(each.figure) for chart, each in charts.items()}
    images = read_mistakes(list(findings.mistakes))
    evidence, (low, high) = ensemble.evidence, findings.interval
    with track(
        mode,
        project=contest.slug,
        group="ensembles",
        job_type="ensemble",
        run_id=f"{name}-{split}-ensemble",
        name=name,
        tags=["ensemble", ensemble.fitted.method],
        config={
            "members": [member.name for member in ensemble.members],
            "weights": {member.name: float(w) for member, w in zip(ensemble.members, ensemble.weights, strict=True)},
            "options": asdict(ensemble.options),
            "rule": ensemble.fitted.blend.rule,
            "power": ensemble.fitted.blend.power,
            "decision": asdict(ensemble.decision),
            "left_out": ensemble.left_out,
            "folds_sha256": ensemble.runs[0].folds_sha256,
        },
        folder=contest.runs,
    ) as tracker:
        tracker.summarise(
            {
                f"nested/{metric}": ensemble.honest.score,
                f"nested/{metric}_low": low,
                f"nested/{metric}_high": high,
                "nested/loss": ensemble.honest.loss,
                f"in_sample/{metric}": ensemble.in_sample.score,
                "in_sample/loss": ensemble.in_sample.loss,
                "gain": evidence.gain,
                "gain_low": evidence.low,
                "gain_high": evidence.high,
                "verdict": evidence.verdict,
                "method": ensemble.fitted.method,
                "best_single": ensemble.members[ensemble.best].name,
                **({"calibration_error": findings.calibration.error} if findings.calibration else {}),
                "selected_on_oof": ensemble.selected_on_oof,
            }
        )
        for chart, picture in pictures.items():
            tracker.gallery(f"charts/{chart}", [picture], [f"{charts[chart].title}. {charts[chart].note}"])
        if images:
            tracker.gallery("worst_mistakes", images, [mistake.caption for mistake in findings.mistakes])
        tracker.artifact(folder / "oof.npz", f"{name}-oof", "oof")
        tracker.artifact(folder / "submission.csv", f"{name}-submission", "submission")
