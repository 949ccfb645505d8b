"""Every key of a recipe does what it says: against closed forms, torch's own, or what can be counted."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from competition.errors import SpecError
from pipeline.config import Loss, Mix, Model, Optimizer, Progressive, Recipe, Schedule
from pipeline.learner import create_learner
from pipeline.losses import create_loss, predictions_of, soft_targets
from pipeline.mixing import BatchAugmentation, seed_everything, smaller
from pipeline.network import check_network, create_network
from pipeline.optimizer import create_optimizer, learning_rate, momentum_at, set_rates
from pipeline.predict import predict
from pipeline.progress import Progress, clock
from pipeline.step import create_step

CPU = torch.device("cpu")


def recipe(**keys) -> Recipe:
    base = {"model": {"name": "trace_resnet_s"}, "batch_size": 8, "optimizer": {"lr": 1e-3}, "schedule": {"epochs": 4}}
    return Recipe.model_validate(base | keys)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(64, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, 5, (64,), generator=torch.Generator().manual_seed(1))


def loss_of(logits, targets, labels=(0, 1, 2, 3, 4), **settings) -> float:
    if targets.ndim == 1:
        targets = soft_targets(targets, 5, settings.get("label_smoothing", 0.0))
    return float(create_loss(Loss(**settings), np.array(labels), 5)(logits, targets))


def test_cross_entropy_is_torchs(logits, labels):
    for smoothing in (0.0, 0.1):
        assert loss_of(logits, labels, label_smoothing=smoothing) == pytest.approx(
            float(F.cross_entropy(logits, labels, label_smoothing=smoothing)), rel=1e-5
        )
    mixed = 0.3 * soft_targets(labels, 5, 0.1) + 0.7 * soft_targets(labels.flip(0), 5, 0.1)
    # Targets that are shares already are not smoothed again.
    assert loss_of(logits, mixed, label_smoothing=0.1) == pytest.approx(float(F.cross_entropy(logits, mixed)), rel=1e-5)


def test_focal_loss_discounts_what_is_known(logits, labels):
    assert loss_of(logits, labels, name="focal", gamma=0) == pytest.approx(loss_of(logits, labels), rel=1e-5)
    p = logits.softmax(1)[torch.arange(64), labels]
    assert loss_of(logits, labels, name="focal", gamma=2) == pytest.approx(
        float((-((1 - p) ** 2) * p.log()).mean()), rel=1e-5
    )


def test_bce_asks_for_every_class_by_itself(logits, labels):
    each = F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, 5).float(), reduction="none")
    assert loss_of(logits, labels, name="bce") == pytest.approx(float(each.sum(1).mean()), rel=1e-5)
    p = predictions_of(logits, Loss(name="bce"))
    torch.testing.assert_close(p.sum(1), torch.ones(64))
    torch.testing.assert_close(p / p[:, :1], logits.sigmoid() / logits.sigmoid()[:, :1])


def test_class_weights_give_every_class_the_same_say(logits):
    labels = torch.tensor([0] * 40 + [1] * 16 + [2] * 8)  # classes 3 and 4 do not occur
    weights = torch.tensor([64 / (3 * 40), 64 / (3 * 16), 64 / (3 * 8), 0, 0])
    expected = F.cross_entropy(logits, labels, weight=weights, reduction="sum") / 64
    assert loss_of(logits, labels, labels.tolist(), class_weights="balanced") == pytest.approx(
        float(expected), rel=1e-5
    )
    assert float(weights[labels].mean()) == pytest.approx(1)
    each = F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="none")  # what is smoothed away is no class
    balanced = loss_of(logits, labels, labels.tolist(), class_weights="balanced", label_smoothing=0.2)
    assert balanced == pytest.approx(float((weights[labels] * each).mean()), rel=1e-5)


def test_a_focal_loss_of_little_focus_bears_a_sure_prediction():
    logits = torch.tensor([[40.0, -40.0]], requires_grad=True)
    for family, labels in (("classes", np.array([0])), ("labels", np.array([[1, 0]]))):
        loss = create_loss(Loss(name="focal", gamma=0.5), labels, 2, family)
        loss(logits, torch.tensor([[1.0, 0.0]])).backward()
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("warmup", [0, 1.5])
def test_one_cycle_is_torchs(name, warmup):
    schedule = Schedule(name="one_cycle", epochs=5, warmup_epochs=warmup, final_lr=1e-6)
    optimizer = create_optimizer(nn.Linear(2, 2), Optimizer(name=name, lr=0.1), CPU)
    theirs = create_optimizer(nn.Linear(2, 2), Optimizer(name=name, lr=0.1), CPU)
    peak = {"pct_start": warmup / 5 or 0.3, "final_div_factor": 0.1 / 25 / 1e-6}
    other = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.1, total_steps=50, **peak)
    for step in range(50):
        set_rates(optimizer, step, 10, schedule, 0.1)
        for ours, reference in zip(optimizer.param_groups, theirs.param_groups, strict=True):
            assert ours["lr"] == pytest.approx(reference["lr"], rel=1e-9)
            for key in {"momentum", "betas"} & set(ours):
                assert ours[key] == pytest.approx(reference[key], rel=1e-9)
        theirs.step()
        if step < 49:
            other.step()


def test_cosine_starts_ends_and_warms_up_where_it_says():
    schedule = Schedule(epochs=10, warmup_epochs=2, final_lr=1e-5)
    rates = [learning_rate(step, 10, schedule, 1e-3) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3 / 21) and rates[20] == pytest.approx(1e-3) == max(rates)
    assert 1e-5 < rates[-1] < 2e-5 and learning_rate(100, 10, schedule, 1e-3) == pytest.approx(1e-5)
    assert np.diff(rates[:21]) == pytest.approx(1e-3 / 21) and momentum_at(5, 10, schedule) is None


def test_decay_spares_vectors_unless_told_otherwise():
    network = create_network(Model(name="trace_resnet_s"), 5, (32, 32, 3))[0]
    for decay, free in (("weights", 0.0), ("all", 0.1)):
        optimizer = create_optimizer(network, Optimizer(lr=1, weight_decay=0.1, decay=decay), CPU)
        of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        assert len(of) == len(list(network.parameters()))
        assert all(of[id(p)] == (0.1 if p.ndim > 1 else free) for p in network.parameters())


def test_muon_makes_updates_orthogonal_and_leaves_the_rest_to_adamw():
    torch.manual_seed(0)
    network = create_network(Model(name="trace_resnet_s"), 5, (32, 32, 3))[0]
    optimizer = create_optimizer(network, Optimizer(name="muon", lr=1.0, momentum=0.0), CPU)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for p in network.parameters():
        p.grad = torch.randn_like(p) * torch.rand_like(p)
    optimizer.step()
    moved = {name: before[name] - p.detach() for name, p in network.named_parameters()}
    singular = torch.linalg.svdvals(moved["stages.1.0.conv2.conv.weight"].flatten(1))
    assert singular.max() / singular.min() < 2
    for name in (
        "head.weight",
        "stem.bn.weight",
    ):  # the first step of AdamW with Nesterov: 1.9 lr, whatever the gradient
        torch.testing.assert_close(moved[name].abs(), torch.full_like(moved[name], 1.9), rtol=1e-2, atol=1e-2)


def test_moving_average_follows_its_formula_and_makes_the_predictions():
    torch.manual_seed(0)
    learner = create_learner(recipe(ema=0.9), 5, (16, 16, 3), CPU)
    weight = learner.network.head.weight
    expected = weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            weight.fill_(float(step))
        learner.ema.update(learner.network, step)
        decay = 0.0 if step == 1 else min(0.9, 1 - step**-0.8)
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(learner.evaluated.head.weight.detach(), expected, rtol=1e-4, atol=1e-4)
    assert learner.evaluated is not learner.network and not learner.evaluated.training
    plain = create_learner(recipe(), 5, (16, 16, 3), CPU)
    assert plain.ema is None and plain.evaluated is plain.network


@pytest.mark.parametrize("mix", [Mix(mixup=0.4), Mix(cutmix=1.0), Mix(mixup=0.4, cutmix=1.0)])
def test_targets_of_mixed_images_are_the_shares_of_their_pixels(mix):
    seed_everything(CPU, 1)
    labels = torch.arange(8)
    images = labels[:, None, None, None].float().expand(8, 3, 20, 20).clone()  # an image's value is its label
    mixed, targets = BatchAugmentation(recipe(mix=mix.model_dump()), CPU)(images, torch.eye(8)[labels])
    torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ labels.float(), atol=1e-4, rtol=1e-4)
    assert ((targets > 0).sum(1) == 2).sum() >= 4 and torch.allclose(targets.sum(1), torch.ones(8))
    if not mix.mixup:
        assert set(mixed.unique().tolist()) <= set(range(8))  # pixels are moved, never blended


def test_mixing_can_be_rarer():
    augment = BatchAugmentation(recipe(mix={"cutmix": 1.0, "probability": 0.25}), CPU)
    seed_everything(CPU, 2)
    changed = 0
    for _ in range(50):
        images = torch.rand(8, 3, 16, 16)
        changed += int((augment(images.clone(), torch.eye(8))[0] != images).flatten(1).any(1).sum())
    assert 50 < changed < 150  # of 400; a few cut boxes are empty


def test_erasing_overwrites_one_rectangle_in_a_share_of_the_images():
    seed_everything(CPU, 3)
    images = torch.full((400, 3, 24, 24), 7.0)
    erased, labels = BatchAugmentation(recipe(erase=0.3), CPU)(images, torch.zeros(400))
    changed = (erased != 7.0).any(1)
    hit = changed.flatten(1).any(1)
    assert 80 < hit.sum() < 160 and labels.ndim == 1
    for mask in changed[hit]:
        ys, xs = mask.nonzero(as_tuple=True)
        assert (ys.max() - ys.min() + 1) * (xs.max() - xs.min() + 1) == mask.sum() <= 0.4 * mask.numel()


@pytest.mark.parametrize("how", ["resize", "crop"])
def test_progressive_images_grow_to_full_size(how):
    seed_everything(CPU, 4)
    settings = Progressive(start=0.5, until=0.8, how=how)
    image = torch.arange(100.0 * 100).reshape(1, 1, 100, 100).expand(2, 3, 100, 100)
    sides = [smaller(image, settings, progress).shape[2] for progress in (0.0, 0.4, 0.79, 0.8, 0.99)]
    assert sides == [52, 76, 100, 100, 100] or sides == [48, 76, 100, 100, 100]
    small = smaller(image, settings, 0.0)
    if how == "crop":
        assert (small.diff(dim=3) == 1).all() and (small.diff(dim=2) == 100).all()
    else:
        assert float(small.mean()) == pytest.approx(float(image.mean()), rel=1e-3)


def test_the_time_left_knows_that_later_images_are_larger(capsys):
    # The sides are .625, .875, 1 and 1 of the full ones in the middle of the four epochs.
    progress = Progress(0, [0, 1], recipe(progressive={"start": 0.5, "until": 0.5}), 1)
    progress.start_epoch(0, 0)
    row = {"epoch": 1, "train/loss": 1.0, "images_per_second": 1.0, "memory_gb": 0.0, "seconds": 100 * 0.625**2}
    progress.end_epoch(row, "accuracy")
    rest, all_four = 100 * (0.875**2 + 2), 100 * (0.625**2 + 0.875**2 + 2)
    assert f"left {clock(rest)}, all folds {clock(rest + all_four)}" in capsys.readouterr().out


def test_progressive_needs_a_network_of_any_size():
    with pytest.raises(SpecError, match="plain_cnn_128 is built for one image size"):
        check_network(recipe(model={"name": "plain_cnn_128"}, progressive={"start": 0.5}), 5, (32, 32, 3))


def test_drop_path_drops_in_training_only():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 32)
    model = Model(name="trace_resnet_s", args={"drop_path_rate": 0.5})
    network = create_network(model, 5, (32, 32, 3))[0]
    for name, parameter in network.named_parameters():
        if name.endswith("conv2.bn.weight"):  # starts at zero, and so would hide what is dropped
            nn.init.ones_(parameter)
    plain = create_network(Model(name="trace_resnet_s"), 5, (32, 32, 3))[0]
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network.eval()(images), plain.eval()(images))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    network.train()
    results = {round(float(network(images).detach().sum()), 4) for _ in range(12)}
    assert len(results) > 1


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"mix": {"mixup": 0.2}, "batch_size": 9}, "even"),
        ({"checkpoint": "best", "schedule": {"epochs": 4, "validate_every": 2}}, "validate_every"),
        ({"schedule": {"epochs": 2, "warmup_epochs": 2}}, "warmup_epochs"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        recipe(**keys)


def test_the_same_seed_draws_the_same():
    drawn = []
    for _ in range(2):
        seed_everything(CPU, 5, 1)
        drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))  # noqa: S311
    assert drawn[0] == drawn[1]


def test_float16_scales_its_gradients_and_learns_the_same():
    images = torch.randint(0, 256, (16, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels, losses = torch.arange(16) % 4, {}
    for precision in ("float32", "float16"):
        settings = recipe(precision=precision, optimizer={"lr": 1e-3, "clip_norm": 5.0})
        torch.manual_seed(0)
        learner = create_learner(settings, 4, (16, 16, 3), CPU)
        assert learner.scaler.is_enabled() == (precision == "float16")
        step = create_step(settings, learner, labels.numpy(), 4, 10, (0,))
        losses[precision] = [float(step(images, labels, 0, batch)) for batch in range(10)]
    assert losses["float16"] == pytest.approx(losses["float32"], abs=0.03) and losses["float32"][-1] < 1.0


def test_clipping_bounds_the_length_of_a_step():
    images = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for clip, bound in ((0.01, 0.0101), (0.0, None)):
        settings = recipe(optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0, "clip_norm": clip}, precision="float32")
        torch.manual_seed(0)
        learner = create_learner(settings, 4, (16, 16, 3), CPU)
        before = [p.detach().clone() for p in learner.network.parameters()]
        create_step(settings, learner, np.arange(4), 4, 10, (0,))(images, torch.arange(8) % 4, 0, 0)
        moved = [p.detach() - old for p, old in zip(learner.network.parameters(), before, strict=True)]
        length = float(sum(m.square().sum() for m in moved) ** 0.5)
        # At the first step the schedule gives the full rate, so without momentum the step is the clipped gradient.
        assert length > 0.1 if bound is None else 0.0095 < length < bound


def test_tta_is_the_mean_over_the_flips():
    torch.manual_seed(0)
    network, normalise = create_network(Model(name="trace_resnet_s"), 5, (24, 24, 3))
    nn.init.normal_(network.head.weight)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)

    def predicted(images: np.ndarray, *tta: str) -> np.ndarray:
        return predict([network.eval()], normalise, images, recipe(tta=tta, precision="float32"), CPU)

    views = [predicted(pixels), predicted(pixels[:, :, ::-1].copy()), predicted(pixels[:, ::-1].copy())]
    assert abs(views[0] - views[1]).max() > 1e-3 and abs(views[0] - views[2]).max() > 1e-3
    np.testing.assert_allclose(predicted(pixels, "horizontal", "vertical"), sum(views) / 3, atol=1e-5)
