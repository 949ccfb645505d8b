import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from competition.contest import open_contest
from competition.errors import SpecError
from competition.spec import SPECS, Spec, list_specs, load_spec
from competition.strict_yaml import build, parse_yaml, read_yaml

ROOT = Path(__file__).parent.parent


def changed(**changes):
    data = read_yaml(SPECS / "unibuc-deepfake.yaml")
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = data
        for parent in parents:
            node = node[parent]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return build(Spec, data, "x.yaml")


def test_shipped_specs_load_under_both_names():
    assert {"unibuc-deepfake", "deepfake-digits", "real-or-fake"} <= {spec.slug for spec in list_specs()}
    assert load_spec("deepfake-classification-unibuc") == load_spec("unibuc-deepfake")
    assert load_spec(str(SPECS / "unibuc-deepfake.yaml")).sha256 == load_spec("unibuc-deepfake").sha256


def test_runs_go_on_when_what_comes_after_training_is_mended_and_not_otherwise():
    later = changed(title="Another", test__table="other.csv", rules__notebook_only=True, medals={"gold": 0.9})
    assert later.trained_on == changed().trained_on == changed(submission__column="other").trained_on
    assert changed(train__label="other").trained_on["train"]["label"] == "other"
    assert changed(holdout=None).trained_on == changed().trained_on != changed(holdout__use="train").trained_on
    assert changed(target__classes=None).trained_on == changed().trained_on  # a run knows its own
    kinds = [{}, {"test__table": "other.csv"}, {"pixels": {"planes": [0]}}, {"holdout__label": "other"}]
    assert [len({changed(**kind).made_from(part) for kind in kinds}) for part in ("test", "holdout")] == [3, 3]


def test_output_that_nobody_reads_ends_a_command_without_a_word():
    command = [sys.executable, "-m", "competition", "list"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_contest_tells_how_to_open_it_again(tmp_path):
    assert open_contest("unibuc-deepfake").options == "-c unibuc-deepfake"
    away = open_contest("unibuc-deepfake", f"{tmp_path}/my data", f"{tmp_path}/my runs").options
    assert away == f"-c unibuc-deepfake --data '{tmp_path}/my data' --runs '{tmp_path}/my runs'"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"metric__nam": "x"}, "unknown key 'metric.nam'; did you mean 'name'?"),
        ({"holdout__labell": "x"}, "unknown key 'holdout.labell'; did you mean 'label'?"),
        ({"title": None}, "key 'title' is missing"),
        ({"folds__n": "5"}, "'folds.n'"),
        ({"folds__n": True}, "'folds.n'"),
        ({"target__classes": [0, 1, 2]}, "target.classes"),
        ({"target__classes": ["a", "a", "b"]}, "listed twice"),
        ({"target__kind": "binary"}, "two classes"),
        ({"metric__name": "acuracy"}, "unknown metric"),
        ({"metric__direction": "minimize"}, "direction: maximize"),
        ({"train__table": "../train.csv"}, "outside"),
        ({"train__images": "train/x.png"}, "names no column"),
        ({"submission__column": None}, "submission.column is missing"),
    ],
)
def test_a_wrong_spec_names_the_key(changes, message):
    with pytest.raises(SpecError, match=r"x\.yaml") as caught:
        changed(**changes)
    assert message in str(caught.value)


def test_a_misspelt_contest_is_told_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'unibuc-deepfake'"):
        load_spec("unibuc-depfake")


def test_a_broken_draft_stops_nobody_who_means_another_contest(tmp_path, monkeypatch):
    shutil.copy(SPECS / "unibuc-deepfake.yaml", tmp_path)
    (tmp_path / "draft.yaml").write_text("slug: [")
    monkeypatch.setattr("competition.spec.SPECS", tmp_path)
    assert load_spec("deepfake-classification-unibuc").slug == "unibuc-deepfake"
    with pytest.raises(SpecError, match=r"draft\.yaml"):
        load_spec("nothing-of-that-name")


def test_yaml_means_what_it_looks_like():
    assert parse_yaml("a: 3e-4\nb: no\nc: 1_0x\nd: 2024-01-01\ne: true", "x") == {
        "a": 3e-4,
        "b": "no",
        "c": "1_0x",
        "d": "2024-01-01",
        "e": True,
    }
    with pytest.raises(SpecError, match="given twice"):
        parse_yaml("a: 1\na: 2", "x")
