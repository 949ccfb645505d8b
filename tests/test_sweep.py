"""Sweeps: their files, the names and commands of their points, and early discarding by fold 0."""

import math
import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.errors import SpecError
from competition.metrics import Scale
from competition.strict_yaml import parse_yaml, write_value
from launch.halving import survivors
from launch.plan import plan_runs
from launch.sweep import LONGEST, is_sweep, point_labels
from pipeline.augment import Augmentation
from pipeline.config import RECIPES, load_recipe
from pipeline.network import check_network, check_rules
from pipeline.run import check_name
from tests.support import make_contest

SMALL = """
model: {name: plain_cnn_128}
batch_size: 8
optimizer: {lr: 1e-3}
schedule: {epochs: 4}
"""
words = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(leaves, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(words, deeper, max_size=3))


@given(values)
def test_a_value_is_read_back_exactly_from_what_set_takes(value):
    written = write_value(value)
    assert repr(parse_yaml(written, "")) == repr(value)  # repr tells 1 from 1.0 and True, and -0.0 from 0.0
    assert written.isprintable()


@pytest.mark.parametrize(
    "word", ["muon", "true", "null", "3e-4", "~", "no", "1:30", "2024-01-01", "a: b", "!!int x", ""]
)
def test_words_that_mean_something_else_in_yaml_stay_words(word):
    assert parse_yaml(write_value(word), "") == word
    assert (write_value(word) == word) == (word in ("muon", "no"))


@pytest.mark.parametrize(
    "settings, labels",
    [
        (
            [{"optimizer.lr": "0.02", "loss.label_smoothing": "0.1"}, {"optimizer.lr": "1e-05"}, {}],
            ["lr=0.02,label_smoothing=0.1", "lr=1e-05", "base"],
        ),
        ([{"optimizer.name": "sgd", "schedule.name": "cosine"}], ["optimizer.name=sgd,schedule.name=cosine"]),
        ([{"a.b.c": "1", "x.b.c": "2", "y.c": "3"}], ["a.b.c=1,x.b.c=2,y.c=3"]),
        ([{"c": "1", "y.c": "2"}], ["c=1,y.c=2"]),
        ([{"lr": "1e+22"}], ["lr=1e22"]),
        ([{"tta": "[]"}, {"tta": "[horizontal]"}, {"tta": "[]", "ema": "0.9"}], ["tta=v1", "tta=v2", "tta=v1,ema=0.9"]),
        ([{"tta": "1"}, {"tta": "a b"}], ["tta=v1", "tta=v2"]),
        ([{"k" * 50: "1"}] + [{"k": str(i)} for i in range(9)], ["p01", *(f"k={i}" for i in range(9))]),
    ],
)
def test_points_are_called_by_what_they_set(settings, labels):
    assert point_labels(settings, 50) == labels


@given(st.lists(st.dictionaries(st.from_regex(r"[a-z](\.[a-z])?", fullmatch=True), leaves, max_size=4), min_size=1))
def test_points_that_set_something_else_have_other_names(settings):
    written = [{key: write_value(value) for key, value in each.items()} for each in settings]
    labels = point_labels(written, LONGEST)
    assert len(set(labels)) == len({tuple(each.items()) for each in written})
    assert all(check_name(f"x-{label}-s0") and len(label) <= LONGEST for label in labels)


scores = st.lists(st.none() | st.floats(-10, 10), min_size=1, max_size=30)
keeps = st.integers(1, 99).map(lambda percent: percent / 100)


@given(scores, keeps, st.booleans(), st.randoms(use_true_random=False))
def test_halving_keeps_exactly_the_best_in_whatever_order_they_come(scores, keep, maximize, rng: random.Random):
    scale = Scale("score", maximize)
    kept = survivors(scores, keep, scale)
    known = [place for place, score in enumerate(scores) if score is not None]
    quota = math.ceil(Fraction(round(100 * keep), 100) * len(scores))
    assert len(kept) == len(set(kept)) == min(quota, len(known)) and set(kept) <= set(known)
    worst_kept = min((scale.gain(scores[place], 0) for place in kept), default=None)
    for place in set(known) - set(kept):
        assert scale.gain(scores[place], 0) < worst_kept or place > max(k for k in kept if scores[k] == scores[place])
    # Others that come in another order decide nothing: only ties go by position.
    order = rng.sample(range(len(scores)), len(scores))
    again = survivors([scores[place] for place in order], keep, scale)
    assert sorted(scores[order[place]] for place in again) == sorted(scores[place] for place in kept)


@pytest.fixture
def spec(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(SMALL)
    return make_contest(tmp_path).contest().spec


def write_sweep(folder: Path, text: str, name: str = "some") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_a_grid_is_every_combination_and_each_point_a_plain_command(spec, tmp_path):
    grid = "recipe: small.yaml\ngrid: {optimizer.lr: [1e-2, 2e-2], augment: [[], [{HorizontalFlip: {p: 0.5}}]]}\n"
    planned = plan_runs(spec, [write_sweep(tmp_path, grid)], [0, 3], ["ema=0.5", "optimizer.lr=1"], None)
    points = [f"some-lr={lr},augment={v}-s{s}" for lr in ("0.01", "0.02") for v in ("v1", "v2") for s in (0, 3)]
    assert [run.name for run in planned] == points
    assert {run.argument for run in planned} == {str(tmp_path / "small.yaml")}
    for run in planned:
        (as_typed,) = plan_runs(spec, [run.argument], [run.seed], run.overrides, run.name)
        assert as_typed.recipe == run.recipe and as_typed.name == run.name
    assert [run.recipe.optimizer.lr for run in planned[::2]] == [0.01, 0.01, 0.02, 0.02]
    assert all(run.recipe.ema == 0.5 for run in planned) and len(planned[2].recipe.augment) == 1


def test_recipes_and_sweeps_are_planned_together(spec, tmp_path):
    sweep = write_sweep(tmp_path, "recipe: small.yaml\npoints: [{}, {ema: 0.9}]\n")
    planned = plan_runs(spec, [str(tmp_path / "small.yaml"), sweep], [0], [], None)
    assert [run.name for run in planned] == ["small-s0", "some-base-s0", "some-ema=0.9-s0"]
    assert [run.sweep and run.sweep.name for run in planned] == [None, "some", "some"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("points: [{}]", "some.yaml: key 'recipe' is missing"),
        ("recipe: small.yaml", "give either points or a grid"),
        ("recipe: small.yaml\npoints: [{}]\ngrid: {ema: [0.1]}", "give either points or a grid"),
        ("recipe: small.yaml\npoint: [{}]\ngrid: {ema: [0.1]}", "unknown key 'point'; did you mean 'points'?"),
        ("recipe: small.yaml\ngrid: {ema: []}", "some.yaml: key 'grid.ema'"),
        ("recipe: small.yaml\ngrid: {ema: 0.5}", "some.yaml: key 'grid.ema'"),
        ("recipe: small.yaml\npoints: [{ema=1: 0}]", "some.yaml: key 'points.0.ema=1"),
        ("recipe: small.yaml\npoints: [{ema: 1e999}]", "not finite"),
        ("recipe: nowhere\npoints: [{}]", "point 1 (the recipe as it is): no recipe is called 'nowhere'"),
        ("recipe: small.yaml\npoints: [{}, {optimizer.lrr: 1}]", "some.yaml: point 2 (optimizer.lrr=1): "),
        ("recipe: small.yaml\npoints: [{optimizer.lrr: 1}]", "did you mean 'lr'?"),
        ("recipe: small.yaml\npoints: [{ema: half}]", "'ema'"),
        (
            "recipe: small.yaml\npoints: [{loss.name: bce}, {loss.name: squared}]",
            "point 2 (loss.name=squared): loss.name",
        ),
        ("recipe: small.yaml\npoints: [{}, {ema: 0.1}, {ema: 0.0}]", "point 3 (ema=0.0): is the same as point 1"),
        ("recipe: small.yaml\npoints: [{}]\nhalving: {keep: 1.0, after: [0.5]}", "'halving.keep'"),
        ("recipe: small.yaml\npoints: [{}]\nhalving: {keep: 0.5, after: [0.5, 0.5]}", "larger than the one before it"),
        ("recipe: small.yaml\npoints: [{}]\nhalving: {keep: 0.5, after: [0.5, 1.5]}", "'halving.after.1'"),
        (
            "recipe: small.yaml\npoints: [{}, {schedule.epochs: 2}]\nhalving: {keep: 0.5, after: [0.25, 0.5]}",
            "point 2 (schedule.epochs=2): halving.after: 0.25 and 0.5 of 2 epochs are both epoch 1",
        ),
    ],
)
def test_a_wrong_sweep_names_its_file_and_point(spec, tmp_path, text, message):
    with pytest.raises(SpecError) as error:
        plan_runs(spec, [write_sweep(tmp_path, text)], [0], [], None)
    assert message in str(error.value) and str(tmp_path / "some.yaml") in str(error.value)


def test_a_sweep_has_no_name_of_its_own_for_its_runs_and_a_short_one_itself(spec, tmp_path):
    points = "recipe: small.yaml\npoints: [{}]\n"
    with pytest.raises(SpecError, match="--name mine: the runs of a sweep"):
        plan_runs(spec, [write_sweep(tmp_path, points)], [0], [], "mine")
    with pytest.raises(SpecError, match="50 letters at most"):
        plan_runs(spec, [write_sweep(tmp_path, points, "x" * 51)], [0], [], None)


def test_an_unknown_recipe_leads_to_the_sweeps(spec):
    with pytest.raises(SpecError, match=r"did you mean recipes/sweeps/trace-resnet-lr-decay\.yaml\?"):
        plan_runs(spec, ["trace-resnet-lr-decy"], [0], [], None)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("sweeps/*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sweep_loads_and_all_its_points_build(spec, path):
    planned = plan_runs(spec, [str(path)], [0], [], None)
    assert is_sweep(str(path)) and len(planned) > 1 and "description" in path.read_text()
    for run in planned:
        check_rules(run.recipe.model, spec.rules)
        Augmentation(run.recipe.augment)
        check_network(run.recipe, 3, (32, 32, 3))


def test_a_recipe_is_no_sweep(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    assert not is_sweep(str(tmp_path / "small.yaml")) and not is_sweep("trace-resnet") and not is_sweep("a/b.yaml")
    assert load_recipe(str(tmp_path / "small.yaml")).batch_size == 8
