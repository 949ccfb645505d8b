"""One contract for every network of ours."""

import pytest
import timm
import torch
from timm.data import resolve_model_data_config

from competition.errors import SpecError
from competition.spec import Rules
from models.residual import HighPass
from pipeline.config import Model
from pipeline.network import check_rules, create_network, our_networks


@pytest.mark.parametrize("channels, size", [(3, (48, 48)), (1, (32, 40))])
@pytest.mark.parametrize("name", our_networks())
def test_contract(name, channels, size):
    torch.manual_seed(0)
    network, normalise = create_network(Model(name=name), 5, (*size, channels))
    images = torch.randint(0, 256, (4, *size, channels), dtype=torch.uint8)
    x = normalise(images)
    assert x.shape == (4, channels, *size) and x.is_contiguous(memory_format=torch.channels_last)

    logits = network(x)
    assert logits.shape == (4, 5) and logits.isfinite().all()
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

    modules = dict(network.named_modules())
    assert modules[network.default_cfg["classifier"]] is network.get_classifier()
    assert network.default_cfg["first_conv"] in modules
    assert resolve_model_data_config(network)["mean"] == network.default_cfg["mean"]

    # Without a classifier the network gives its features; with a new one, that many classes.
    network.eval()
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    assert features.shape == (4, network.head_hidden_size)
    network.reset_classifier(0)
    torch.testing.assert_close(network(x), features)
    network.reset_classifier(7)
    assert network(x).shape == (4, 7) and network.num_classes == 7

    # Evaluation treats each image alone.
    torch.testing.assert_close(network(x)[:1], network(x[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", our_networks())
def test_there_are_no_pretrained_weights_to_load(name):
    with pytest.raises(RuntimeError, match="pretrained"):
        timm.create_model(name, pretrained=True)


def test_the_starting_point_has_the_layers_it_is_known_for():
    network, _ = create_network(Model(name="plain_cnn_128"), 5, (100, 100, 3))
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(3, 32), (32, 64), (64, 128), (128, 256)]
    assert (network.hidden.in_features, network.hidden.out_features) == (256 * 6 * 6, 128)
    assert network.drop.p == 0.5
    assert create_network(Model(name="plain_cnn_256"), 5, (100, 100, 3))[0].hidden.out_features == 256


def test_the_high_pass_keeps_the_image_and_adds_its_finest_detail():
    checks = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8))  # the blur leaves nothing of them
    images = torch.stack([torch.full((8, 8), 1.7), checks, torch.arange(64.0).reshape(8, 8)])[None]
    x = HighPass(3)(images)
    torch.testing.assert_close(x[:, :3], images)
    torch.testing.assert_close(x[0, 3:5], HighPass.GAIN * torch.stack([torch.zeros(8, 8), checks]), atol=1e-5, rtol=0)
    assert (x[0, 5, 1:-1, 1:-1].abs() < 1e-4).all()  # a slope is its own blur
    network, _ = create_network(Model(name="trace_resnet_s", args={"high_pass": True}), 5, (20, 20, 3))
    assert network.stem.conv.in_channels == 6 and network(torch.randn(2, 3, 20, 20)).shape == (2, 5)


def test_rules_of_the_contest_are_kept():
    strict, free = Rules(pretrained=False, predefined=False), Rules(pretrained=True, predefined=True)
    for name in our_networks():
        check_rules(Model(name=name), strict)
    check_rules(Model(name="resnet18", pretrained=True), free)
    with pytest.raises(SpecError, match="forbids pre-trained"):
        check_rules(Model(name="plain_cnn_128", pretrained=True), strict)
    with pytest.raises(SpecError, match="forbids pre-defined networks such as 'resnet18'"):
        check_rules(Model(name="resnet18"), strict)
    with pytest.raises(SpecError, match="did you mean 'plain_cnn_128'"):
        check_rules(Model(name="plain_cnn_129"), free)
    with pytest.raises(SpecError, match=r"model\.args"):
        create_network(Model(name="plain_cnn_128", args={"widht": 3}), 5, (32, 32, 3))
