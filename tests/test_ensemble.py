"""The ensemble on files: what it refuses, what it does not care about, and what it writes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from blending.methods import METHODS
from blending.pool import pooled
from competition.errors import DataError
from competition.rows.tables import load_train
from folds.store import read_folds, write_folds
from pipeline.ensemble import Options, fit_ensemble
from pipeline.ensemble_folder import replaced_runs, write_ensemble
from pipeline.ensemble_text import evidence_lines, runs_table
from pipeline.store import Predictions
from tests.commands import Command, finish
from tests.support import make_contest, make_run

N = 60
ROOT = Path(__file__).parent.parent


@pytest.fixture
def contest(tmp_path):
    contest = make_contest(tmp_path, n_train=N, n_test=12, size=4).contest()
    write_folds(contest, load_train(contest), np.arange(N) // 3 % 3)
    return contest


def guesses(rows, seed: int, skill: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return pooled(skill * (skill * np.eye(3)[rows.labels] + rng.normal(size=(len(rows), 3)))).astype(np.float32)


def opened(contest):
    rows = load_train(contest)
    return rows, read_folds(contest, rows)


def two_runs(contest):
    rows, split = opened(contest)
    runs = [make_run(contest, rows, split, name, [0.8] * 3, guesses(rows, i)) for i, name in enumerate("ab")]
    return runs, rows, split


def rewrite(path: Path, change) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, **arrays)


def swap_ids(arrays):
    arrays["ids"] = np.roll(arrays["ids"], 1)


SPOILT = {
    "NaN beside the true class": (
        lambda a: a["probabilities"].__setitem__((0, (a["labels"][0] + 1) % 3), np.nan),
        "NaN or infinite",
    ),
    "rows of sum 1.5": (lambda a: a.update(probabilities=a["probabilities"] * 1.5), "probability outside|sum to 1"),
    "another split": (lambda a: a.update(folds_sha256=np.array("0" * 64)), "another split"),
    "ids shuffled without their rows": (swap_ids, "another label"),
    "an id twice": (lambda a: a["ids"].__setitem__(1, a["ids"][0]), "more than once"),
    "an id of another fold": (lambda a: a["ids"].__setitem__(0, "train000x"), "is missing"),
    "a row too few": (lambda a: [a.update({k: a[k][1:]}) for k in ("ids", "probabilities", "labels")], "is missing"),
    "a class too few": (
        lambda a: a.update(classes=a["classes"][:2], probabilities=pooled(np.log(a["probabilities"][:, :2]))),
        "classes are not the contest's|label outside",
    ),
    "a class of another name": (lambda a: a["classes"].__setitem__(0, "cow"), "classes are not the contest's"),
    "no labels": (lambda a: a.pop("labels"), "no labels"),
    "columns of one class swapped with another's name": (
        lambda a: a.update(classes=a["classes"][[1, 0, 2]]),
        "another label",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_file_is_named_with_its_first_bad_id(contest, what):
    runs, rows, split = two_runs(contest)
    change, message = SPOILT[what]
    rewrite(runs[1].folds[1].oof, change)
    with pytest.raises(DataError, match=message) as caught:
        fit_ensemble(contest, runs, rows, split, Options())
    assert str(runs[1].folds[1].oof) in str(caught.value)
    if "class" not in what and what not in ("another split", "no labels"):
        assert "id 'train0" in str(caught.value)


def test_an_unfinished_run_is_refused_and_says_which_folds(contest):
    runs, rows, split = two_runs(contest)
    (runs[0].folds[2].folder / "DONE").unlink()
    with pytest.raises(DataError, match="folds 2 are not finished"):
        fit_ensemble(contest, runs, rows, split, Options())


def test_the_order_of_rows_and_columns_in_a_file_changes_no_bit(contest):
    runs, rows, split = two_runs(contest)
    before = fit_ensemble(contest, runs, rows, split, Options())

    def permute(arrays):
        order, columns = np.random.default_rng(0).permutation(len(arrays["ids"])), np.array([2, 0, 1])
        arrays["ids"] = arrays["ids"][order]
        arrays["labels"] = np.argsort(columns)[arrays["labels"][order]]
        arrays["probabilities"] = arrays["probabilities"][order][:, columns]
        arrays["classes"] = arrays["classes"][columns]

    for run in runs:
        for fold in run.folds:
            rewrite(fold.oof, permute)
    after = fit_ensemble(contest, runs[::-1], rows, split, Options())
    np.testing.assert_array_equal(after.weights, before.weights)
    np.testing.assert_array_equal(after.nested, before.nested)
    assert after.name == before.name


def test_runs_that_cannot_help_are_left_out_and_the_rest_is_unchanged(contest):
    runs, rows, split = two_runs(contest)
    before = fit_ensemble(contest, runs, rows, split, Options("convex"))
    wrong = make_run(contest, rows, split, "wrong", [0.0] * 3, np.roll(guesses(rows, 2), 1, axis=1))
    certain = make_run(contest, rows, split, "certain", [0.3] * 3, np.eye(3, dtype=np.float32)[(rows.labels + 1) % 3])
    copy = make_run(contest, rows, split, "copy", [0.8] * 3, guesses(rows, 0))
    after = fit_ensemble(contest, [*runs, wrong, certain, copy], rows, split, Options("convex"))
    assert "no better than the classes' shares" in after.left_out["wrong"]
    assert "no better than the classes' shares" in after.left_out["certain"]
    assert after.left_out["copy"] == "almost the same predictions as a"
    np.testing.assert_array_equal(after.weights, before.weights)
    assert "left out: copy" in runs_table(contest, after)
    bad = fit_ensemble(contest, [wrong, certain], rows, split, Options())
    assert [member.name for member in bad.members] == ["wrong"]  # the least bad
    assert "wrong is no better than the classes' shares either" in runs_table(contest, bad)


def test_one_run_is_an_ensemble_of_one_and_claims_nothing(contest):
    runs, rows, split = two_runs(contest)
    alone = fit_ensemble(contest, runs[:1], rows, split, Options("convex"))
    np.testing.assert_array_equal(alone.weights, [1.0])
    assert alone.honest.loss == pytest.approx(alone.single[0].loss) and alone.evidence.gain == 0
    assert "no evidence that the ensemble is better" in evidence_lines(contest, alone)


def test_runs_of_other_seeds_are_pooled_to_one_member_of_equal_parts(contest):
    rows, split = opened(contest)
    runs = [make_run(contest, rows, split, f"r-s{i}", [0.8] * 3, guesses(rows, i), seed=i) for i in range(3)]
    runs.append(make_run(contest, rows, split, "other", [0.8] * 3, guesses(rows, 9), batch_size=16))
    pooled_seeds = fit_ensemble(contest, runs, rows, split, Options("convex", pool_seeds=True))
    assert [member.name for member in pooled_seeds.members] == ["other", "r-s0+2"]
    mean = np.mean([guesses(rows, i) for i in range(3)], axis=0)
    np.testing.assert_allclose(pooled_seeds.library.read(1), mean, atol=1e-6)
    assert pooled_seeds.name != fit_ensemble(contest, runs, rows, split, Options()).name


def test_a_cap_keeps_its_word_and_shows_its_price(contest):
    rows, split = opened(contest)
    runs = [make_run(contest, rows, split, f"r{i}", [0.8] * 3, guesses(rows, i)) for i in range(5)]
    capped = fit_ensemble(contest, runs, rows, split, Options("convex", cap=2))
    assert len(capped.fitted.blend.used) <= 2
    assert all(len(blend.used) <= 2 for blend in capped.fitted.nested_blends)
    assert capped.uncapped == fit_ensemble(contest, runs, rows, split, Options("convex")).honest
    assert "nested, without the cap" in runs_table(contest, capped)


def test_a_checkpoint_chosen_on_its_own_fold_is_marked(contest):
    rows, split = opened(contest)
    run = make_run(contest, rows, split, "lucky", [0.8] * 3, guesses(rows, 1), checkpoint="best")
    fitted = fit_ensemble(contest, [run], rows, split, Options())
    assert fitted.selected_on_oof and "selected on OOF: too good" in runs_table(contest, fitted)


def test_what_is_written_is_the_blend_of_the_test_predictions(contest):
    runs, rows, split = two_runs(contest)
    fitted = fit_ensemble(contest, runs, rows, split, Options("convex"))
    with pytest.raises(DataError, match=r"no test predictions yet .* python infer.py"):
        write_ensemble(contest, fitted, rows, split, "mine")
    ids = np.array([f"test{i:03}" for i in range(12)])
    parts = [pooled(np.random.default_rng(i).normal(size=(12, 3))).astype(np.float32) for i in range(2)]
    for run, part in zip(runs, parts, strict=True):
        made_by = {"folds_sha256": split.sha256, "trained_sha256": run.trained_sha256}
        Predictions(ids, contest.spec.target.classes, part, **made_by).save(run.folder / "test.npz")
    folder = write_ensemble(contest, fitted, rows, split, "mine")
    record = json.loads((folder / "weights.json").read_text())
    assert sum(record["weights"].values()) == pytest.approx(1) and record["method"] == "convex"
    assert record["nested_score"] == fitted.honest.score
    assert record["gain"]["verdict"] == "no evidence that the ensemble is better"  # fewer than 300 rows
    alone = fit_ensemble(contest, runs[:1], rows, split, Options())
    assert replaced_runs(folder, alone) == ["a", "b"]
    assert replaced_runs(folder, fitted) == replaced_runs(folder / "none", alone) == []
    runs[0].folds[1].finish(runs[0].folds[1].result() | {"seconds": 61.0})
    with pytest.raises(DataError, match=r"was made by other weights .* Predict again: python infer.py"):
        write_ensemble(contest, fitted, rows, split, "mine")
    with np.load(folder / "test.npz") as archive:
        expected = sum(record["weights"][run.name] * part for run, part in zip(runs, parts, strict=True))
        np.testing.assert_allclose(archive["probabilities"], expected, atol=1e-6)
    written = (folder / "submission.csv").read_text().splitlines()[1:]
    assert written == [
        f"{i},{contest.spec.target.classes[k]}" for i, k in zip(ids, expected.argmax(axis=1), strict=True)
    ]


def test_a_decision_is_taken_only_where_it_helps_on_unseen_rows(tmp_path):
    contest = make_contest(tmp_path, n_train=900, n_test=6, metric="macro_f1", size=2).contest()
    write_folds(contest, load_train(contest), np.arange(900) // 3 % 3)
    rows, split = opened(contest)
    shy = guesses(rows, 0, 1.2) * np.array([1, 1, 0.1], np.float32)  # a network that hardly ever says the third class
    shy /= shy.sum(axis=1, keepdims=True)
    run = make_run(contest, rows, split, "shy", [0.5] * 3, shy)
    fitted = fit_ensemble(contest, [run], rows, split, Options("best"))
    assert fitted.decision.kind == "multipliers" and fitted.decision.values[2] > 3 * fitted.decision.values[0]
    assert fitted.honest.score > fitted.single[0].score + 0.05
    fair = make_run(contest, rows, split, "fair", [0.5] * 3, guesses(rows, 0, 1.2))
    assert fit_ensemble(contest, [fair], rows, split, Options("best")).decision.kind == "most_probable"


def test_the_command_says_what_is_wrong(contest, tmp_path):
    def said(*options: str, status: int = 2) -> str:
        where = ["-c", contest.name, "--data", str(contest.data), "--runs", str(contest.runs.parent)]
        return finish(Command(tmp_path / "said", "ensemble.py", *where, *options), status)

    two_runs(contest)
    wrong = {"--max-members 0": "has a member at least", "nosuch": "no run 'nosuch'", "--name ../up": "--name '../up'"}
    for options, message in wrong.items():
        assert message in said(*options.split())
    assert "{auto," + ",".join(METHODS) + "}" in said("--help", status=0)
    outside = tmp_path / "elsewhere"
    shutil.move(contest.runs / "b", outside)
    assert "the runs of an ensemble lie side by side" in said("a", str(outside))
    assert "python infer.py" in said("a", str(contest.runs / "a"))  # one run, given twice
