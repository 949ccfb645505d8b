"""Predictions of a finished run for rows it never saw."""

import time

import torch

from competition.contest import Contest
from competition.errors import DataError
from competition.rows.tables import Rows
from pipeline.cache import decoded
from pipeline.checkpoint import load_weights
from pipeline.device import prepare_device
from pipeline.network import create_network
from pipeline.predict import predict
from pipeline.run import Run
from pipeline.store import Predictions
from pipeline.views import predictions_of_rows


def predict_run(contest: Contest, run: Run, part: str, rows: Rows) -> Predictions:
    """`predict_rows`, written to `<run>/<part>.npz`."""
    predictions = predict_rows(contest, run, part, rows)
    predictions.save(run.folder / f"{part}.npz")
    print(f"{run.folder / part}.npz")
    return predictions


def predict_rows(contest: Contest, run: Run, part: str, rows: Rows) -> Predictions:
    """Predict `rows` with every fold of `run` and average the folds' predictions. Nothing is written beside the run.

    Args:
        part: "test" or "holdout".

    Raises DataError: an unfinished fold, unreadable images, or damaged weights; a run that was trained with another
    spec, or on images of another size.
    """
    run.require_finished()
    run.require_contest(contest)
    trained = run.trained_sha256  # before the weights are read: a fold that is trained anew meanwhile must not count
    classes, target, recipe, device = contest.classes, contest.spec.target, run.recipe, prepare_device()
    if contest.spec.rules.notebook_only:
        # The shorter formats have 8 or 11 bits, and which of them `auto` takes differs from here to Kaggle.
        recipe = recipe.model_copy(update={"precision": "float32"})
    pixels = decoded(rows.images, recipe.image, contest.runs / "cache", part)
    _require_shape(run, pixels.shape[1:], part)
    # The fold's weights replace all that a pre-trained network would be downloaded for.
    model = recipe.model.model_copy(update={"pretrained": False})
    networks = []
    for fold in run.folds:
        network, normalise = create_network(model, len(classes), pixels.shape[1:], target.family)
        load_weights(fold.weights, network)
        networks.append(network.to(device, memory_format=torch.channels_last).eval())
    clock = time.monotonic()
    title = f"{run.name}: {part}"
    p = predict(networks, normalise.to(device), pixels, recipe, device, title=title, family=target.family)
    rate = len(pixels) / (time.monotonic() - clock)
    probabilities = predictions_of_rows(p, rows.row_of, contest.spec.views, target)
    print(f"{run.name}: {len(pixels)} {part} images, {len(networks)} folds, {rate:.0f} images/s")
    made_by = (run.folds_sha256, rows.labels, target.family, trained, contest.spec.made_from(part))
    return Predictions(rows.ids, classes, probabilities, *made_by)


def _require_shape(run: Run, shape: tuple[int, ...], part: str) -> None:
    for fold in run.folds:
        learned = fold.result().get("image")  # runs of earlier versions do not say
        if learned is not None and tuple(learned) != shape:
            height, width, _ = learned
            raise DataError(
                f"the {part} images are {shape[0]}×{shape[1]} with {shape[2]} channels, {fold.folder} was trained on "
                f"{height}×{width} with {learned[2]}: train with --set 'image.size=[{height},{width}]' and --name for "
                "a new run"
            )
