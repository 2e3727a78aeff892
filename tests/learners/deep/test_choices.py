"""Choices of a training by name: first weights, optimisers, augmentation."""

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.augmentation import AUGMENTATIONS, augmented, mixed
from ensemble_forecast.learners.deep.initialisation import INITIALISATIONS, initialise
from ensemble_forecast.learners.deep.inputs import FIRST_BASE, View, Windows
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.optimisers import OPTIMISERS, groups_of, matrices, optimiser_for
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.tabm import TabM
from ensemble_forecast.learners.deep.tcn import Tcn
from ensemble_forecast.learners.deep.transformer import Transformer


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def batch():
    y = np.random.default_rng(0).normal(size=60).cumsum()
    view = View(context=12, season=4, horizon=5, past_mean_C=np.empty(0), past_std_C=np.empty(0))
    return Windows.of(Panel.of([y]), Origins.between(np.array([20]), np.array([51])), view, torch.device("cpu")).inputs(torch.arange(32))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_finds_the_bottom_of_a_bowl(name):
    net = torch.nn.Linear(3, 1)
    rate = {"sgd": 0.3, "momentum": 0.03, "rmsprop": 0.003}.get(name, 0.05)
    setting = Mlp(optimiser=name, learning_rate=rate, weight_decay=0.0)
    optimiser = optimiser_for(groups_of(net, setting), setting)
    for _ in range(300):
        optimiser.zero_grad()
        loss = (net.weight - 2.0).square().sum() + (net.bias + 1.0).square().sum()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 1e-2


def test_unknown_choices_are_refused(batch):
    net = torch.nn.Linear(2, 2)
    with pytest.raises(BadInput, match="optimiser must be one of"):
        optimiser_for(groups_of(net, Mlp()), Mlp(optimiser="magic"))
    with pytest.raises(BadInput, match="initialisation must be one of"):
        initialise(net, "ones")
    with pytest.raises(BadInput, match="augmentation must be one of"):
        augmented("noise", batch, 0.1)


@pytest.mark.parametrize(
    ("name", "deviation"), [("he", (2 / 400) ** 0.5), ("glorot", (2 / 600) ** 0.5), ("orthogonal", 400**-0.5)], ids=lambda value: str(value)
)
def test_first_weights_have_the_spread_of_their_scheme(name, deviation):
    net = torch.nn.Linear(400, 200)
    initialise(net, name)
    assert float(net.weight.detach().std()) == pytest.approx(deviation, rel=0.03)


def test_orthogonal_rows_are_orthogonal():
    net = torch.nn.Linear(30, 10)
    initialise(net, "orthogonal")
    torch.testing.assert_close(net.weight @ net.weight.T, torch.eye(10), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_a_head_that_starts_at_zero_stays_there(name):
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LSTM(4, 4), torch.nn.Linear(4, 2))
    torch.nn.init.zeros_(net[2].weight)
    before = [parameter.clone() for parameter in net[1].parameters()]
    initialise(net, name)
    assert not net[2].weight.any()
    moved = any(not torch.equal(old, new) for old, new in zip(before, net[1].parameters(), strict=True))
    assert moved == (name != "default")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_strength_changes_nothing_but_in_mixup(name, batch):
    changed = augmented(name, batch, 0.0)
    for before, after in zip(batch, changed, strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_jitter_adds_noise_of_its_strength(batch):
    change = augmented("jitter", batch, 0.5).window_BLC - batch.window_BLC
    assert float(change.std()) == pytest.approx(0.5, rel=0.1)


def test_scaling_stretches_window_base_and_target_together(batch):
    scaled = augmented("scaling", batch, 0.3)
    factor_B = batch.unit_B / scaled.unit_B
    assert float(factor_B.log().std()) == pytest.approx(0.3, rel=0.5)
    torch.testing.assert_close(scaled.window_BLC[..., 0], (batch.window_BLC[..., 0] * factor_B[:, None]).float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scaled.extras_BE[:, FIRST_BASE:], (batch.extras_BE[:, FIRST_BASE:] * factor_B[:, None]).float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scaled.base_BH, batch.base_BH)


def test_a_warped_window_keeps_its_ends_and_invents_no_values(batch):
    warped = augmented("warp", batch, 0.3).window_BLC
    torch.testing.assert_close(warped[:, 0], batch.window_BLC[:, 0])
    torch.testing.assert_close(warped[:, -1], batch.window_BLC[:, -1])
    assert (warped.amax(dim=1) <= batch.window_BLC.amax(dim=1) + 1e-5).all()
    assert (warped.amin(dim=1) >= batch.window_BLC.amin(dim=1) - 1e-5).all()
    assert not torch.allclose(warped, batch.window_BLC)


def test_mixup_mixes_inputs_and_targets_by_one_share(batch):
    target_BH = batch.window_BLC[:, -5:, 0].clone()  # a part of the input: the same mixture must come out
    inputs, mixed_BH = mixed(batch, target_BH, 0.4)
    torch.testing.assert_close(inputs.window_BLC[:, -5:, 0], mixed_BH)
    assert not torch.allclose(mixed_BH, target_BH)
    target_BH[3, 2] = torch.nan
    assert mixed(batch, target_BH, 0.4)[1].isnan().sum() >= 1


@pytest.mark.parametrize("name", [name for name in INITIALISATIONS if name != "default"])
def test_convolutions_with_normed_weights_and_attention_are_initialised_too(name):
    for net in (Tcn(channels=4), Transformer(width=8, heads=2, layers=1)):
        module = net.net(Shapes(context=16, channels=1, extras=8, horizon=6, outputs=1))
        before = {key: value.clone() for key, value in module.state_dict().items()}
        initialise(module, name)
        matrices = [
            key for key, value in before.items() if value.ndim > 1 and value.any() and not key.endswith(("positions", "mask_HH", "original0"))
        ]
        still = [key for key in matrices if torch.equal(before[key], module.state_dict()[key])]
        assert still == []


def test_scales_and_biases_of_members_and_gains_of_weight_norms_do_not_decay():
    for net in (TabM(members=3, width=8), Tcn(channels=4)):
        module = net.net(Shapes(context=16, channels=1, extras=8, horizon=6, outputs=1))
        decaying = {id(parameter) for parameter in matrices(module)}
        names = {name.rsplit(".", 1)[-1] for name, parameter in module.named_parameters() if id(parameter) in decaying}
        assert names <= {"weight", "original1"}
        groups = groups_of(module, net)
        assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))
        assert {group["weight_decay"] for group in groups} == {0.0, net.weight_decay}
