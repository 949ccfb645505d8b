"""Training follows the target: losses, outputs and views against closed forms, and a run for each family."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from competition.errors import SpecError
from competition.sparse import Sparse
from competition.spec_parts import Target, Views
from pipeline.config import Loss, Model, Recipe
from pipeline.learner import create_learner
from pipeline.losses import create_loss, fitted_to, predictions_of, soft_targets, spread_of
from pipeline.mixing import BatchAugmentation, seed_everything
from pipeline.network import create_network
from pipeline.predict import Normalise, predict
from pipeline.views import predictions_of_rows

CPU = torch.device("cpu")
REGRESSION = Target(kind="regression", classes=("weight", "age"), range=(0.0, 100.0))


def recipe(**keys) -> Recipe:
    base = {"model": {"name": "plain_cnn_128"}, "batch_size": 8, "optimizer": {"lr": 1e-3}, "schedule": {"epochs": 2}}
    return Recipe.model_validate(base | keys)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> np.ndarray:
    return (np.random.default_rng(0).random((64, 4)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize(
    "kind, name",
    [
        ("binary", "cross_entropy"),
        ("ordinal", "ordinal"),
        ("multilabel", "bce"),
        ("soft", "cross_entropy"),
        ("regression", "squared"),
    ],
)
def test_auto_is_the_loss_that_the_target_asks_for(kind, name):
    target = Target(kind=kind, classes=("a", "b"))
    fitted = fitted_to(recipe(loss={"label_smoothing": 0.1}), target)
    assert fitted.loss.name == name
    assert fitted.loss.label_smoothing == (0.0 if kind == "regression" else 0.1)


@pytest.mark.parametrize("kind, name", [("multilabel", "cross_entropy"), ("regression", "bce"), ("binary", "squared")])
def test_a_loss_that_does_not_fit_the_target_is_refused(kind, name):
    with pytest.raises(SpecError, match=f"loss.name: {name} is not for a {kind} target; use auto"):
        fitted_to(recipe(loss={"name": name}), Target(kind=kind, classes=("a", "b")))


def test_the_loss_of_labels_is_torchs_binary_cross_entropy(logits, labels):
    targets = torch.from_numpy(labels)
    soft = soft_targets(targets, 4, 0.2, "labels")
    torch.testing.assert_close(soft, 0.8 * targets + 0.1)
    loss = create_loss(Loss(name="bce"), labels, 4, "labels")
    torch.testing.assert_close(loss(logits, soft), F.binary_cross_entropy_with_logits(logits, soft))
    positive = torch.from_numpy(labels.sum(axis=0).astype(np.float32))
    balanced = create_loss(Loss(name="bce", class_weights="balanced"), labels, 4, "labels")
    expected = F.binary_cross_entropy_with_logits(logits, targets.float(), pos_weight=(64 - positive) / positive)
    torch.testing.assert_close(balanced(logits, targets.float()), expected)
    smoothed = create_loss(Loss(name="bce", class_weights="balanced", label_smoothing=0.2), labels, 4, "labels")
    each = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    weight = torch.where(targets > 0, (64 - positive) / positive, 1)
    torch.testing.assert_close(smoothed(logits, soft), (weight * each).mean())
    focal, p = create_loss(Loss(name="focal", gamma=2), labels, 4, "labels"), logits.sigmoid()
    pt = torch.where(targets > 0, p, 1 - p)
    torch.testing.assert_close(focal(logits, targets.float()), (-((1 - pt) ** 2) * pt.log()).mean())
    torch.testing.assert_close(predictions_of(logits, Loss(), "labels"), p)


def test_the_ordinal_loss_grows_with_the_distance():
    loss, targets = create_loss(Loss(name="ordinal"), np.arange(4), 4), torch.eye(4)[[0]]
    sure = [
        float(loss(torch.eye(4)[[k]] * 3, targets) - F.cross_entropy(torch.eye(4)[[k]] * 3, targets)) for k in (1, 2, 3)
    ]
    assert sure[0] < sure[1] < sure[2]
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])
    distance = (p.cumsum(0) - 1).square().sum()  # all of the truth lies in the first class
    torch.testing.assert_close(loss(p.log()[None], targets), -p[0].log() + distance)


def test_numbers_are_learned_in_standard_deviations_and_predicted_in_their_unit():
    values = np.random.default_rng(0).normal((50, 1000), (5, 100), (200, 2)).astype(np.float32)
    torch.manual_seed(0)
    learner = create_learner(recipe(), 2, (16, 16, 3), CPU, values)
    images = torch.rand(8, 3, 16, 16)
    inner = learner.network.network.eval()(images)
    mean, std = map(torch.from_numpy, spread_of(values))
    torch.testing.assert_close(learner.evaluated(images), inner * std + mean)
    loss, targets = create_loss(Loss(name="squared"), values, 2, "values"), torch.from_numpy(values[:8])
    torch.testing.assert_close(
        loss(learner.evaluated(images), targets), (inner - (targets - mean) / std).square().mean(), rtol=1e-4, atol=1e-4
    )
    # The unit is saved with the weights: a new network knows nothing of the labels.
    again, _ = create_network(Model(name="plain_cnn_128"), 2, (16, 16, 3), "values")
    again.load_state_dict(learner.network.state_dict())
    torch.testing.assert_close(again.eval()(images), learner.evaluated(images))


@pytest.mark.parametrize("mix", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_any_target_is_mixed_as_the_images_are(mix):
    seed_everything(CPU, 1)
    targets = torch.rand(8, 3)
    images = targets[:, 0][:, None, None, None].expand(8, 3, 20, 20).clone()  # an image's value is its first target
    mixed, got = BatchAugmentation(recipe(mix=mix), CPU)(images, targets)
    torch.testing.assert_close(mixed.mean((1, 2, 3)), got[:, 0], atol=1e-4, rtol=1e-4)
    assert not torch.equal(got, targets)


def test_networks_take_any_number_of_channels():
    for channels in (1, 2, 4, 6):
        network, normalise = create_network(Model(name="plain_cnn_128"), 3, (16, 16, channels))
        assert network.eval()(normalise(torch.zeros(2, 16, 16, channels, dtype=torch.uint8))).shape == (2, 3)


def test_views_become_one_prediction_by_mean_or_maximum():
    row_of = np.array([3, 3, 3, 5, 9, 9])
    p = np.random.default_rng(0).dirichlet(np.ones(2), 6).astype(np.float32)
    binary = Target(kind="binary", classes=("no", "yes"))
    groups = [p[:3], p[3:4], p[4:]]
    mean = predictions_of_rows(p, row_of, Views(), binary)
    np.testing.assert_allclose(mean, [group.mean(axis=0) for group in groups], rtol=1e-6)
    most = predictions_of_rows(p, row_of, Views(reduce="max"), binary)
    np.testing.assert_allclose(most[:, 1], [group[:, 1].max() for group in groups])
    np.testing.assert_allclose(most.sum(axis=1), 1)
    labels = predictions_of_rows(p, row_of, Views(reduce="max"), Target(kind="multilabel", classes=("a", "b")))
    np.testing.assert_allclose(labels, [group.max(axis=0) for group in groups])
    single = predictions_of_rows(np.array([[-5, 50], [70, 500]], np.float32), np.arange(2), None, REGRESSION)
    assert single.tolist() == [[0, 50], [70, 100]]


def test_of_many_classes_the_most_probable_and_the_true_one_are_kept():
    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return scores[images[:, 0, 0, 0].round().long()]

    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(0, 3, (5, 2000)).astype(np.float32))
    pixels = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None], (5, 8, 8, 1))
    labels = np.array([int(scores[0].argmax()), *rng.integers(0, 2000, 4)])
    keep_numbers = Normalise((0.0,), (1 / 255,))
    p = predict([Fixed()], keep_numbers, pixels, recipe(), CPU, labels=labels)
    expected = scores.softmax(dim=1).numpy()
    assert isinstance(p, Sparse) and (np.diff(p.excess.indptr) >= 64).all()
    np.testing.assert_allclose(p[np.arange(5), labels], expected[np.arange(5), labels], rtol=1e-4)
    np.testing.assert_array_equal(p.top(64)[0], np.argsort(-expected, axis=1)[:, :64])
    pair = predictions_of_rows(p, np.array([0, 0, 1, 2, 2]), None, Target(kind="multiclass"))
    np.testing.assert_allclose(pair[np.array([0]), labels[:1]], p[np.arange(2), labels[[0, 0]]].mean(), rtol=1e-5)
    np.testing.assert_allclose(pair[np.array([1]), labels[2:3]], p[np.array([2]), labels[2:3]], rtol=1e-5)
    with pytest.raises(SpecError, match="use mean"):
        predictions_of_rows(p, np.zeros(5, int), Views(reduce="max"), Target(kind="multiclass"))
