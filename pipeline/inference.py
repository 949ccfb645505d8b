"""Predictions of a finished run for rows it never saw."""

import time

import torch

from competition.contest import Contest
from competition.tables import Rows
from pipeline.cache import decoded
from pipeline.checkpoint import load_weights
from pipeline.device import prepare_device
from pipeline.network import create_network
from pipeline.predict import predict
from pipeline.run import Run
from pipeline.store import Predictions


def predict_run(contest: Contest, run: Run, part: str, rows: Rows) -> Predictions:
    """Predict `rows` with every fold of `run`, average the folds' probabilities, and write them to `<run>/<part>.npz`.

    Args:
        part: "test" or "holdout".

    Raises DataError: an unfinished fold, unreadable images, or damaged weights.
    """
    run.require_finished()
    classes, recipe, device = contest.spec.target.classes, run.recipe, prepare_device()
    pixels = decoded(rows.images, recipe.image, contest.runs / "cache", part)
    networks = []
    for fold in run.folds:
        network, normalise = create_network(recipe.model, len(classes), recipe.image.channels, pixels.shape[1:3])
        load_weights(fold.weights, network)
        networks.append(network.to(device, memory_format=torch.channels_last).eval())
    clock = time.monotonic()
    probabilities = predict(networks, normalise.to(device), pixels, recipe, device, title=f"{run.name}: {part}")
    rate = len(rows) / (time.monotonic() - clock)
    predictions = Predictions(rows.ids, classes, probabilities, run.folds_sha256, rows.labels)
    predictions.save(run.folder / f"{part}.npz")
    print(f"{run.folder / part}.npz: {len(rows)} images, {len(networks)} folds, {rate:.0f} images/s")
    return predictions
