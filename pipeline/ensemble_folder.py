"""An ensemble's folder: its predictions, submission and weights, written and read."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from blending.decisions import Decision
from blending.rules import Blend, combine
from competition.contest import Contest
from competition.errors import DataError
from competition.files import atomic_open, sha256_of
from competition.rows.tables import Rows, load_test
from competition.submissions.file import write_submission
from folds.store import Split
from pipeline.ensemble import Ensemble
from pipeline.members import Member
from pipeline.run import open_run
from pipeline.store import Predictions


def write_ensemble(contest: Contest, ensemble: Ensemble, rows: Rows, split: Split, name: str) -> Path:
    """Write oof.npz, test.npz, submission.csv and, last, weights.json to ensembles/<name>; return that folder.

    Raises DataError when a member has no test predictions yet, SubmissionError when they do not fit the sample. The
    submission is checked before anything is written.
    """
    family, classes, folder = contest.spec.target.family, contest.classes, contest.ensembles / name
    test = load_test(contest)
    used = [run for j in ensemble.fitted.blend.used for run in ensemble.members[j].runs]
    missing = [run.name for run in used if not (run.folder / "test.npz").is_file()]
    if missing:
        raise DataError(
            f"no test predictions yet of {', '.join(missing)}. Predict first: python infer.py {' '.join(missing)} "
            f"{contest.options}"
        )
    blend, kind = ensemble.fitted.blend, ensemble.library.truth.kind
    (probabilities,) = combine([blend], lambda j: ensemble.members[j].test("test", test.ids, contest), kind)

    write_submission(contest, folder / "submission.csv", test.ids, ensemble.decision.apply(probabilities))
    Predictions(rows.ids, classes, ensemble.oof, split.sha256, rows.labels, family).save(folder / "oof.npz")
    Predictions(test.ids, classes, probabilities, split.sha256, family=family).save(folder / "test.npz")
    # Whoever ends between the files leaves scores of another submission, which its hash tells.
    record = _record(contest, ensemble) | {"submission_sha256": sha256_of(folder / "submission.csv")}
    with atomic_open(folder / "weights.json") as file:
        json.dump(record, file, indent=1)
    return folder


def replaced_runs(folder: Path, ensemble: Ensemble) -> list[str]:
    """The runs of the ensemble that is in this folder already, where they are others than those of the new one."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        before = sorted(json.loads((folder / "weights.json").read_text(encoding="utf-8"))["weights"])
        return before if before != sorted(run.name for run in ensemble.runs) else []
    return []


def read_blend(weights: Path, runs: Path) -> tuple[tuple[Member, ...], Blend, Decision]:
    """The blend that a weights.json describes: the members that weigh something, their blend, and its decision.

    Args:
        runs: the folder that holds their runs.

    Raises DataError: not such a file, or one of an earlier version; a run that is not there, or was trained anew.
    """
    try:
        content = json.loads(weights.read_text(encoding="utf-8"))
        used = [member for member in content["members"] if member["weight"]]
        blend = Blend(np.array([member["weight"] for member in used]), content["rule"], content["power"])
        decision = Decision(**content["decision"] | {"values": tuple(content["decision"]["values"])})
        named = [(member["name"], tuple(member["runs"])) for member in used]
        trained = dict(content.get("trained_sha256", {}))  # earlier versions do not say it
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{weights}: does not describe a blend ({error!r}); make the ensemble again") from error
    members = tuple(Member(name, tuple(open_run(runs / run) for run in own)) for name, own in named)
    for run in (run for member in members for run in member.runs):
        run.require_finished()
        if trained.get(run.name, run.trained_sha256) != run.trained_sha256:
            raise DataError(f"{weights}: {run.name} was trained anew since; make the ensemble again")
    return members, blend, decision


def _record(contest: Contest, ensemble: Ensemble) -> dict:
    blend, evidence = ensemble.fitted.blend, ensemble.evidence
    weights, spread = zip(blend.weights, ensemble.fitted.spread, strict=True), {}
    per_run = {}
    for member, (w, sd) in zip(ensemble.members, weights, strict=True):
        per_run |= {run.name: float(w) / len(member.runs) for run in member.runs}
        spread[member.name] = float(sd)
    return {
        "metric": contest.spec.metric.name,
        "oof_score": ensemble.in_sample.score,
        "nested_score": ensemble.honest.score,
        "in_sample": asdict(ensemble.in_sample),
        "nested": asdict(ensemble.honest),
        "best_single": {"run": ensemble.members[ensemble.best].name} | asdict(ensemble.alone),
        "gain": {key: _number(value) for key, value in asdict(evidence).items()}
        | {"folds": [_number(gain) for gain in evidence.folds], "signs": evidence.signs, "verdict": evidence.verdict},
        "method": ensemble.fitted.method,
        "tried": {fitted.method: fitted.loss for fitted in ensemble.tried},
        "rule": blend.rule,
        "power": blend.power,
        "decision": asdict(ensemble.decision),
        "duality_gap": _number(ensemble.fitted.gap),
        "uncapped": ensemble.uncapped and asdict(ensemble.uncapped),
        "selected_on_oof": ensemble.selected_on_oof,
        "folds_sha256": ensemble.runs[0].folds_sha256,
        "trained_sha256": {run.name: run.trained_sha256 for run in ensemble.runs},
        "left_out": ensemble.left_out,
        "weights": per_run,
        "weights_sd": spread,
        "members": [
            {"name": member.name, "runs": [run.name for run in member.runs], "weight": float(w)}
            for member, w in zip(ensemble.members, blend.weights, strict=True)
        ],
    }


def _number(value: Any) -> Any:
    """The same, or None for a NaN, which JSON does not have."""
    return None if isinstance(value, float) and np.isnan(value) else value
