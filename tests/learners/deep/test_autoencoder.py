"""The autoencoder: what is restored, when the encoder learns from what, and what its codes are worth to others."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.autoencoder import Autoencoder
from ensemble_forecast.learners.deep.shapes import Shapes

CONTEXT, CODES = 24, 4
SHAPES = Shapes(context=CONTEXT, channels=1, extras=2, horizon=1, outputs=1)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def coded(**changed):
    """The module, its head set at random as training would."""
    module = Autoencoder(codes=CODES, width=32, layers=2, dropout=0.0, **changed).net(SHAPES).train()
    torch.nn.init.normal_(module.head[0].weight)
    return module


def moved_by_forecasts(module):
    """Whether the loss of the forecast reaches the encoder."""
    module.zero_grad()
    module(torch.randn(8, CONTEXT, 1), torch.randn(8, 2)).square().sum().backward()
    return any(parameter.grad is not None and parameter.grad.any() for parameter in module.encoder.parameters())


@pytest.mark.parametrize("frozen", [False, True])
def test_the_encoder_restores_first_and_learns_to_forecast_after_unless_frozen(frozen):
    module = coded(pretraining=0.5, frozen=frozen)
    module.grow(0.49)
    assert not moved_by_forecasts(module)
    assert module.own_loss > 0
    module.grow(0.5)
    assert moved_by_forecasts(module) is not frozen
    assert module.own_loss == 0


def test_only_what_was_hidden_is_to_be_restored():
    module, window = coded(hidden_share=0.5), torch.randn(8, CONTEXT, 1)
    module.decoder = torch.nn.Linear(CODES, CONTEXT)
    with torch.random.fork_rng():
        module(window, torch.zeros(8, 2))
    hidden = torch.rand(8, CONTEXT) < 0.5  # the stream of the call above
    code = module.encoder(window.flatten(1).masked_fill(hidden, 0.0))
    torch.testing.assert_close(module.own_loss, (module.decoder(code) - window.flatten(1))[hidden].square().mean())


def test_codes_tell_others_more_than_as_many_principal_components():
    rng = np.random.default_rng(0)
    frequency, phase = rng.uniform(0.2, 1.2, 3000), rng.uniform(0, 2 * np.pi, 3000)
    wave = np.sin(frequency[:, None] * np.arange(CONTEXT + 1) + phase[:, None])  # two numbers make it, by no linear map
    window, target = wave[:, :-1], wave[:, -1]
    train, test = slice(0, 2000), slice(2000, None)
    module = coded(hidden_share=0.1, pretraining=1.0)
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    seen = torch.tensor(window[train], dtype=torch.float32)[..., None]
    for _ in range(1500):
        batch = seen[torch.randint(len(seen), (256,))]
        module(batch, torch.zeros(len(batch), 2))
        optimiser.zero_grad()
        module.own_loss.backward()
        optimiser.step()
    with torch.no_grad():
        codes = module.eval().code(torch.tensor(window, dtype=torch.float32)[..., None]).numpy()
    components = PCA(CODES).fit(window[train]).transform(window)
    trees = [ExtraTreesRegressor(50, random_state=0).fit(features[train], target[train]) for features in (codes, components)]
    unexplained = [1 - tree.score(features[test], target[test]) for tree, features in zip(trees, (codes, components), strict=True)]
    assert unexplained[0] < 0.5 * unexplained[1]


@pytest.mark.parametrize("wrong", [{"hidden_share": 1.0}, {"pretraining": 1.5}])
def test_shares_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Autoencoder(**wrong)
