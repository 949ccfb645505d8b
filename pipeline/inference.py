"""Predictions of a finished run for rows it never saw."""

import time

import torch

from competition.contest import Contest
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

    Raises DataError: an unfinished fold, unreadable images, or damaged weights.
    """
    run.require_finished()
    classes, target, recipe, device = contest.classes, contest.spec.target, run.recipe, prepare_device()
    if contest.spec.rules.notebook_only:
        # The shorter formats have 8 or 11 bits, and which of them `auto` takes differs from here to Kaggle.
        recipe = recipe.model_copy(update={"precision": "float32"})
    # TF32 has 10 bits of mantissa: a recipe's float32 would differ from GPU to GPU in the third digit.
    torch.backends.cudnn.allow_tf32 = False
    pixels = decoded(rows.images, recipe.image, contest.runs / "cache", part)
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
    made_by = (run.folds_sha256, rows.labels, target.family, run.trained_sha256)
    return Predictions(rows.ids, classes, probabilities, *made_by)
