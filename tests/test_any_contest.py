"""Every spec that ships, from data to a scored submission: made-up data, but the commands are those of the README."""

import runpy
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

from competition.contest import Contest, open_contest
from competition.errors import DataError
from competition.fake.contest import fake
from competition.images import read_image
from competition.kaggle.download import download
from competition.rows.sources import read_csv
from competition.rows.tables import load_holdout, load_test, load_train
from competition.spec import SPECS, load_spec
from competition.stand_in.contest import LocalContest
from competition.strict_yaml import read_yaml
from competition.submissions.file import check_submission, write_submission

ROOT = Path(__file__).parent.parent
# Those of the kit, not the drafts that its user has beside them.
TRACKED = subprocess.run(["git", "ls-files", "*.yaml"], cwd=SPECS, stdout=subprocess.PIPE, text=True, check=True).stdout
SLUGS = sorted(Path(name).stem for name in TRACKED.split())
ROWS, FOLDS = 40, 2
RECIPE = """
model: {name: plain_cnn_128}
image: {size: [32, 32]}
batch_size: 8
optimizer: {lr: 0.001}
schedule: {epochs: 1}
"""


def in_two_folds(slug: str, folder: Path) -> Path:
    """The spec, to be rehearsed in a hurry."""
    spec = read_yaml(SPECS / f"{slug}.yaml")
    path = folder / f"{slug}.yaml"
    spec["rules"]["notebook_only"] = False  # files are sent here; notebooks in test_notebook.py
    path.write_text(yaml.safe_dump(spec | {"folds": spec.get("folds", {}) | {"n": FOLDS}}))
    return path


def made_up(slug: str, folder: Path) -> tuple[Contest, Path, Path]:
    """The contest on disk, its archive and its answers."""
    spec = in_two_folds(slug, folder)
    if ".dcm" in spec.read_text():
        pytest.importorskip("pydicom")
    archive, answers = fake(load_spec(str(spec)), ROWS, folder / "data")
    return open_contest(str(spec), str(folder / "data"), str(folder / "runs")), archive, answers


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a command in this process, and in a hurry: thirty times five of their own would only import torch."""
    monkeypatch.setattr("blending.evidence.RESAMPLES", 20)
    monkeypatch.setattr("blending.evidence.WHOLE_RESAMPLES", 20)
    monkeypatch.setattr("pipeline.mistakes.MOST", 6)

    def command(script: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(ROOT / script))["main"]()
        return capsys.readouterr().out

    return command


UNUSUAL = {
    "shares of classes, and columns with names of their own": """
        train: {table: votes.tsv, id: galaxy, label: [smooth, disk, star], images: "images/{galaxy}.*"}
        test: {table: sample_submission.csv, id: galaxy, images: "images/{galaxy}.*"}
        target: {kind: soft}
        metric: {name: kl, direction: minimize}
        submission: {kind: probability, id: galaxy, column: "p_{class}"}""",
    "a long sample that names the rows": """
        train: {table: train.csv, id: case, label: [left, right], images: "{case[:2]}/{case}.png"}
        test:
          table: sample_submission.csv
          parse: {row_id: "{case}_{side}"}
          id: case
          images: "{case[:2]}/{case}.png"
        target: {kind: multilabel}
        metric: {name: log_loss, direction: minimize}
        submission: {kind: probability, id: row_id, row: "{id}_{class}", column: score}""",
    "categories by name, several to an image": """
        train: {table: a/train.json, encoding: cp1252, id: image_id, label: category, images: "a/{file_name}"}
        test: {table: a/test.json, encoding: cp1252, id: image_id, images: "a/{file_name}"}
        target: {kind: multilabel, delimiter: ";"}
        metric: {name: micro_f1, direction: maximize}
        submission: {kind: labels, id: Id, column: Names, delimiter: ";", empty: none}""",
    "files of two views, and a holdout": """
        train: {files: "train/{label}/{plant}-{view}.webp", id: "{plant}", label: label}
        holdout: {files: "valid/{label}/{plant}-{view}.webp", id: "{plant}", label: label}
        test: {files: "test/{plant}-{view}.webp", id: "{plant}"}
        views: {reduce: max}
        target: {kind: multiclass, classes: [ash, birch, yew]}
        metric: {name: accuracy, direction: maximize}
        submission: {kind: label, id: plant, column: label}""",
    "numbers, from two images of a row": """
        train: {table: train.csv, id: Id, label: [height, weight], images: ["front/{Id}.bmp", "side/{Id}.npy"]}
        test: {table: test.csv, id: Id, images: ["front/{Id}.bmp", "side/{Id}.npy"]}
        views: {}
        pixels: {planes: [0, 2], range: [-1.0, 1.0]}
        target: {kind: regression}
        metric: {name: rmse, direction: minimize}
        submission: {kind: value, id: Id}""",
}


@pytest.mark.parametrize("text", UNUSUAL.values(), ids=UNUSUAL)
def test_made_up_data_fits_unusual_specs(text, tmp_path):
    spec = tmp_path / "unusual.yaml"
    head = "slug: unusual\nkaggle: unusual\ntitle: Unusual\nrules: {pretrained: true, predefined: true}\n"
    spec.write_text(head + textwrap.dedent(text))
    archive, answers = fake(load_spec(str(spec)), ROWS, tmp_path / "data")
    contest = open_contest(str(spec), str(tmp_path / "data"), str(tmp_path / "runs"))
    with pytest.raises(DataError, match=r"holds made-up data.* Delete that folder, and .*runs/unusual"):
        download(contest)
    train, holdout, test = load_train(contest), load_holdout(contest), load_test(contest)
    for rows in (train, holdout or train, test):
        assert all(image.any() for image in map(read_image, rows.images))
    # As if every row were like the training row in its place, which it is where classes take turns.
    truth = np.eye(len(contest.classes))[train.labels] if train.labels.ndim == 1 else train.labels
    write_submission(contest, tmp_path / "submission.csv", test.ids, truth.astype(np.float32))
    kaggle = LocalContest(contest.spec, archive, answers, tmp_path / "kaggle")
    assert not kaggle.add("submission.csv", (tmp_path / "submission.csv").read_bytes(), "").error


@pytest.mark.parametrize("slug", SLUGS)
def test_any_contest_from_data_to_a_scored_submission(slug, tmp_path, call):
    contest, archive, answers = made_up(slug, tmp_path)
    train, test = load_train(contest), load_test(contest)
    assert len(test) == ROWS <= len(train)  # more where a holdout joins them
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    here = ("-c", contest.name, "--data", contest.data, "--runs", contest.runs.parent)

    call("folds/__main__.py", *here)
    call("train.py", *here, "-r", tmp_path / "tiny.yaml", "--name", "tiny", "--wandb", "disabled")
    call("infer.py", *here, "tiny")
    call("ensemble.py", *here, "--name", "one", "--wandb", "disabled")

    submission = contest.ensembles / "one" / "submission.csv"
    long = len(contest.spec.submission.classes or contest.classes) if contest.spec.submission.row else 1
    assert check_submission(contest, submission) == long * ROWS
    kaggle = LocalContest(contest.spec, archive, answers, tmp_path / "kaggle")
    scored = kaggle.add(submission.name, submission.read_bytes(), "")
    assert not scored.error
    assert np.isfinite([float(scored.public_score), float(scored.private_score)]).all()


def test_the_images_of_made_up_data_show_their_classes(tmp_path):
    contest, _, _ = made_up("cassava-leaf-disease-classification", tmp_path)
    train = load_train(contest)
    means = np.stack([read_image(picture).mean(axis=(0, 1)) for picture in train.images])
    centres = np.stack([means[train.labels == c].mean(axis=0) for c in range(len(contest.classes))])
    nearest = ((means[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == train.labels).mean() > 0.6


def test_made_up_data_is_what_the_spec_says(tmp_path):
    contest, _, _ = made_up("rsna-breast-cancer-detection", tmp_path)
    train = load_train(contest)
    assert len(train.images) == 2 * len(train)  # the views of a breast
    assert len(set(train.groups)) == len(train) // 2  # two breasts of a patient
    assert train.ids[0].rpartition("_")[0] == train.groups[0]
    assert "cancer" not in read_csv(contest.data / "test.csv")


def test_a_folder_in_use_and_too_few_rows_are_refused(tmp_path):
    spec = load_spec("unibuc-deepfake")
    archive, answers = fake(spec, 25, tmp_path / "data")
    with pytest.raises(DataError, match=r"there already: .*/data, .*/data\.zip, .*/data\.answers\.csv\. "):
        fake(spec, 25, tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    answers.unlink()
    with pytest.raises(DataError, match=r"there already: \S*/data\.zip\. "):  # it may be the real contest's
        fake(spec, 25, tmp_path / "data")
    assert archive.is_file()
    with pytest.raises(DataError, match="5 classes and 5 folds; give 25 rows or more"):
        fake(spec, 24, tmp_path / "other")


@pytest.mark.parametrize("slug", sorted({*SLUGS} - {"deepfake-digits", "fashion-mnist", "real-or-fake"}))
def test_a_spec_begins_with_the_contests_page(slug):
    text = (SPECS / f"{slug}.yaml").read_text()
    assert text.startswith(f"# https://www.kaggle.com/competitions/{load_spec(slug).kaggle}\n")
