"""The spaces of very deep nets: every entry of their portfolios builds as deep as it says."""

import pytest
import torch

from ensemble_forecast.learners.base import build
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.search.space import config_of
from ensemble_forecast.search.spaces import load_space

SHAPES = Shapes(context=14, channels=2, extras=4, horizon=1, outputs=9)
LAYERS = {"dense-75": 75, "dense-800": 800, "dense-1000": 1000, "ultimate-2000": 2080}


@pytest.mark.parametrize("name", LAYERS)
def test_a_preset_is_sound_and_as_deep_as_its_name(name):
    space = load_space(name)
    space.check()
    for params in space.portfolio("deep"):
        learner = build(config_of("deep", params))
        with torch.device("meta"):
            net = learner.net(SHAPES)
        matrices = [parameter for parameter in net.blocks.parameters() if parameter.ndim == 2]
        fused = learner.dense_blocks  # the map at the end of a densely linked block
        assert learner.n_layers == LAYERS[name] == len(matrices) - fused


def test_the_ultimate_recipe_stands_as_it_goes_round():
    params = load_space("ultimate-2000").portfolio("deep")[1]
    told = {"epochs": 2000, "batch": 8, "learning_rate": 1e-5, "optimiser": "adam", "weight_decay": 1e-4, "clip": 1.0, "schedule": "plateau"}
    assert told.items() <= params.items()
    assert params["balanced"]
    assert 0.1 <= params["dropout"] <= 0.15
