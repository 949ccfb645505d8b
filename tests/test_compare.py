"""`python -m pipeline.compare` on runs that were written by hand, against numbers computed by hand."""

from dataclasses import replace
from math import log, sqrt
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from competition.contest import Contest
from competition.errors import DataError, SpecError
from competition.rows.tables import Rows, load_train
from competition.spec_parts import MetricSpec
from competition.strict_yaml import read_yaml
from folds.store import Split, read_folds, write_folds
from pipeline.ablation import changes, changes_table
from pipeline.comparison import differences, ranked, read_record
from pipeline.comparison_text import comparison_table, differences_table, settings_table
from pipeline.discarded import Discarded, write_discarded
from pipeline.members import candidates
from pipeline.pictures import COLOURS, draw_comparison
from pipeline.results import result_of_run
from pipeline.run import Run, create_run, list_runs, open_run
from tests.commands import Command, finish
from tests.support import make_contest, make_run

T = 4.302653  # the 97.5 % quantile of Student's t with 2 degrees of freedom, from a printed table


@pytest.fixture
def six(tmp_path: Path) -> tuple[Contest, Rows, Split]:
    """Six rows in three folds."""
    contest = make_contest(tmp_path, n_train=6, n_test=3).contest()
    rows = load_train(contest)
    write_folds(contest, rows, np.arange(6) % 3)
    return contest, rows, read_folds(contest, rows)


def forge(six: tuple[Contest, Rows, Split], name: str, scores: list[float], **how) -> Run:
    """A run that gives the true class 1/2 in fold 0 and 1/4 in the others."""
    contest, rows, split = six
    p = np.where(split.fold == 0, 0.5, 0.25)
    probabilities = np.repeat((1 - p) / 2, 3).reshape(6, 3)
    probabilities[np.arange(6), rows.labels] = p
    return make_run(contest, rows, split, name, scores, probabilities, **how)


def records_of(contest: Contest) -> list:
    return ranked([read_record(contest, run) for run in list_runs(contest)])


def line_of(table: str, name: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if name in line.split())
    return line.split()


def test_numbers_of_the_table(six):
    forge(six, "plain", [0.7, 0.9, 0.8])
    forge(six, "chosen", [0.4, 0.5, 0.6], checkpoint="best")
    table = comparison_table(records_of(six[0]))
    loss = (log(2) + 2 * log(4)) / 3
    assert line_of(table, "plain") == ["1", "plain", "3/3", "4", "0.8000", "±", "0.1000", f"{loss:.4f}", "100", "3.0"]
    assert " ".join(line_of(table, "chosen")).endswith("3.0 selected on OOF: too good")


def test_differences_are_paired_by_fold(six):
    forge(six, "best", [0.5, 0.9, 0.7])
    forge(six, "close", [0.4, 0.9, 0.6])
    forge(six, "behind", [0.31, 0.7, 0.49])
    ((best, others),) = differences(records_of(six[0]))
    assert best.run.name == "best" and [each.record.run.name for each in others] == ["close", "behind"]
    close, behind = others
    assert close.mean == pytest.approx(-0.2 / 3) and close.sd == pytest.approx(sqrt(1 / 300))
    assert close.margin == pytest.approx(T * sqrt(1 / 300) / sqrt(3)) and close.within_spread
    # The folds differ by 0.2, far more than the runs; only as pairs do they show that this run is worse.
    assert behind.mean == pytest.approx(-0.2) and behind.sd == pytest.approx(0.01)
    assert behind.margin == pytest.approx(T * 0.01 / sqrt(3)) and not behind.within_spread
    table = differences_table(best, others)
    assert line_of(table, "close")[1:6] == ["-0.0667", "±", "0.1434", "0.0577", "−=−"]
    assert "−=−  within the spread of the folds" in table and "−−−  worse, beyond the spread of the folds" in table


def test_with_a_metric_to_minimise_less_is_better(tmp_path):
    contest = make_contest(tmp_path, 6, 3, metric="log_loss", direction="minimize", kind="probability").contest()
    rows = load_train(contest)
    write_folds(contest, rows, np.arange(6) % 3)
    here = contest, rows, read_folds(contest, rows)
    forge(here, "bad", [0.9, 0.6, 0.8])
    forge(here, "good", [0.5, 0.7, 0.6])
    ((best, (other,)),) = differences(records_of(contest))
    assert best.run.name == "good" and other.signs == "−+−" and other.mean == pytest.approx(-0.5 / 3)


def test_an_unfinished_run_has_progress_and_no_score(six):
    forge(six, "whole", [0.7, 0.8, 0.9])
    forge(six, "half", [0.99], unfinished={1: [0.9, 0.95]})
    forge(six, "fresh", [])
    records = records_of(six[0])
    table = comparison_table(records)
    half, said = line_of(table, "half"), "unfinished: last val accuracy 0.9500 (fold 1, epoch 2/4)"
    assert half[2:8] == ["1/3", "2/4", "–", "–", "100", "1.5"] and " ".join(half[8:]) == said
    assert "unfinished: no epoch yet" in table and line_of(table, "fresh")[2:4] == ["0/3", "0/4"]
    assert [record.run.name for record in records] == ["whole", "half", "fresh"]
    assert differences(records) == []
    assert cv2.imdecode(np.frombuffer(draw_comparison("t", records), np.uint8), cv2.IMREAD_COLOR) is not None
    draw_comparison("t", records[1:])  # nothing finished
    # An epoch without a look at the held-out fold has no score; the newest one there is counts.
    half_run = next(record.run for record in records if record.run.name == "half")
    half_run.folds[1].append_history({"epoch": 3, "train/loss": 0.1, "images_per_second": 100.0, "seconds": 15.0})
    records = records_of(six[0])
    half = line_of(comparison_table(records), "half")
    assert half[3] == "3/4" and " ".join(half[8:]) == said
    draw_comparison("t", records)


def test_changes_are_paired_by_seed_and_fold_in_unfinished_runs_too(six):
    for seed, scores in enumerate([[0.5, 0.6], [0.7]]):
        forge(six, f"base-{seed}", scores, seed=seed)
    for seed, scores in enumerate([[0.6, 0.5, 0.9], [0.9, 0.9], [0.9]]):  # the base has neither these folds nor seed 2
        forge(six, f"small-{seed}", scores, seed=seed, batch_size=4)
    forge(six, "ema", [0.6], ema=0.9)
    forge(six, "fresh", [], ema=0.8)
    records = records_of(six[0])
    found = changes(records, next(record for record in records if record.run.name == "base-1"))
    assert [change.settings for change in found] == [{}, {"ema": 0.9}, {"batch_size": 4}]
    base, ema, small = found
    assert sorted(base.scores) == [0.5, 0.6, 0.7] and not len(base.gains) and list(ema.gains) == pytest.approx([0.1])
    assert sorted(small.gains) == pytest.approx([-0.1, 0.1, 0.2])
    lines = changes_table(found, records[0]).splitlines()
    row = ["3", "0.6667", "1.0000", "+0.0667", "-0.1000", "…", "+0.2000", "batch_size:", "4"]
    assert lines[-1].split() == row
    with pytest.raises(DataError, match="fresh has no finished fold"):
        changes(records, next(record for record in records if record.run.name == "fresh"))
    gone = {"sweep": "s", "rung": 1, "epoch": 2, "epochs": 4, "metric": "accuracy", "score": 0.25, "needed": 0.5}
    write_discarded(six[0].runs / "base-1", Discarded(**gone, when=""))
    with pytest.raises(DataError, match="base-1: discarded at epoch 2/4 of fold 0"):
        changes(records, next(record for record in records_of(six[0]) if record.run.name == "base-1"))


def test_runs_of_another_split_are_compared_among_themselves(six):
    contest, rows, _ = six
    forge(six, "a", [0.5, 0.5, 0.5])
    contest.folds_file.unlink()
    write_folds(contest, rows, np.arange(6)[::-1] % 3)
    other = contest, rows, read_folds(contest, rows)
    for name, score in (("b", 0.9), ("c", 0.8)):
        forge(other, name, [score] * 3)
    ((best, others),) = differences(records_of(contest))
    assert best.run.name == "b" and [each.record.run.name for each in others] == ["c"]
    table = comparison_table(records_of(contest))
    assert f"split {other[2].sha256[:8]}" in table and table.count("split ") == 3


def test_runs_of_corrected_labels_are_compared_among_themselves(six):
    contest, rows, split = six
    forge(six, "a", [0.5, 0.5, 0.5])
    corrected = replace(rows, labels=np.where(split.fold == 1, 0, rows.labels))  # fold 1 alone
    for name, score in (("b", 0.9), ("c", 0.8)):
        forge((contest, corrected, split), name, [score] * 3, batch_size=4 if name == "c" else 8)
    records = records_of(contest)
    ((best, others),) = differences(records)
    assert best.run.name == "b" and [each.record.run.name for each in others] == ["c"]
    assert comparison_table(records).count("labels ") == 3
    found = changes(records, next(record for record in records if record.run.name == "a"))
    assert [len(change.gains) for change in found] == [0, 2] and found[1].settings == {"batch_size": 4}
    contest.data.joinpath("train.csv").write_text("id,label\n" + "".join(f"{i},owl\n" for i in rows.ids))
    with pytest.raises(DataError, match="has another label than in the training table"):
        result_of_run(contest, load_train(contest), split, records[0].run, [])


def test_only_differing_keys_are_listed(six):
    forge(six, "a", [0.9] * 3, seed=3)
    forge(six, "b", [0.8] * 3, batch_size=16, model={"name": "plain_cnn_128", "args": {"drop_rate": 0.5}})
    forge(six, "c", [0.7] * 3)
    assert settings_table(records_of(six[0])).splitlines() == [
        "seed                  1: 3 | 2 3: 0",
        "batch_size            1 3: 8 | 2: 16",
        "model.args.drop_rate  1 3: – | 2: 0.5",
    ]
    for i in range(3):
        forge(six, f"more{i}", [0.5] * 3)
    assert "batch_size            the others: 8 | 2: 16" in settings_table(records_of(six[0]))


def compare(contest: Contest, folder: Path, *runs: str, status: int = 0) -> str:
    line = ["-c", str(folder / "tiny.yaml"), *runs, "--runs", str(contest.runs.parent), "--data", "missing"]
    return finish(Command(folder / "said", "-m", "pipeline.compare", *line), status)


def test_the_command_prints_and_draws_the_runs_it_is_given(six, tmp_path):
    nothing = compare(six[0], tmp_path, status=2)
    assert str(six[0].runs) in nothing and "python train.py -c" in nothing
    forge(six, "a", [0.9, 0.8, 0.7])
    forge(six, "b", [0.8, 0.8, 0.6])
    forge(six, "c", [0.1, 0.1, 0.1])
    assert "against b, on the folds and seeds" in compare(six[0], tmp_path, "a", "--base", "b")
    said = compare(six[0], tmp_path, "a", "b")
    assert "−=−" in said and " c " not in said
    picture = cv2.imread(str(six[0].runs / "compare.png"), cv2.IMREAD_COLOR_RGB)
    drawn = [(picture == tuple(bytes.fromhex(colour[1:]))).all(axis=2).sum() for colour in COLOURS[:3]]
    assert drawn[0] > 500 and drawn[1] > 500 and drawn[2] == 0


def test_a_run_scored_in_another_metric_is_refused(six):
    run = forge(six, "a", [0.9] * 3)
    spec = six[0].spec.model_copy(update={"metric": MetricSpec(name="auc", direction="maximize")})
    with pytest.raises(DataError, match="not scored by auc"):
        read_record(replace(six[0], spec=spec), run)
    settings = run.spec["metric"] | {"columns": ["cat"]}  # of the same name
    path = run.folder / "config.yaml"
    path.write_text(yaml.safe_dump(read_yaml(path) | {"spec": run.spec | {"metric": settings}}))
    with pytest.raises(DataError, match="not scored by accuracy as the contest's spec has it now"):
        read_record(six[0], open_run(run.folder))


def test_what_the_spec_had_otherwise_is_told_and_a_description_is_not(six):
    contest, rows, split = six
    forge(six, "a", [0.9] * 3, description="one")
    pixels = contest.spec.pixels.model_copy(update={"range": (0.0, 1.0)})
    other = replace(contest, spec=contest.spec.model_copy(update={"pixels": pixels}))
    forge((other, rows, split), "b", [0.8] * 3, description="two", seed=1)
    assert "spec.pixels.range  1: – | 2: [0.0, 1.0]" in settings_table(records_of(contest))
    assert [member.name for member in candidates(list_runs(contest), pool_seeds=True)] == ["a", "b"]
    run = forge(six, "c", [0.8] * 3, description="three", seed=1)
    reworded = run.recipe.model_copy(update={"description": "four"})
    assert create_run(contest, "c", reworded, "small", 1, split) == run  # it may go on
    assert [member.name for member in candidates(list_runs(contest), pool_seeds=True)] == ["a+1", "b"]


def test_a_run_of_an_older_version_goes_on_counting(six):
    contest, _, split = six
    run = forge(six, "plain", [0.7, 0.9, 0.8])
    for fold in run.folds:
        old = {("log_loss" if key == "loss" else key): value for key, value in fold.result().items()}
        fold.finish(old)
        assert fold.result()["loss"] == old["log_loss"]
    # Its recipe lacks the keys that recipes have got since.
    config = run.folder / "config.yaml"
    stored = read_yaml(config)
    del stored["recipe"]["loss"]["gamma"]
    config.write_text(yaml.safe_dump(stored))
    assert create_run(contest, "plain", run.recipe, run.recipe_name, run.seed, split).folder == run.folder
    with pytest.raises(SpecError, match=r"another recipe\.loss\.gamma: 2\.0, now 3\.0"):
        changed = run.recipe.model_copy(update={"loss": run.recipe.loss.model_copy(update={"gamma": 3.0})})
        create_run(contest, "plain", changed, run.recipe_name, run.seed, split)
