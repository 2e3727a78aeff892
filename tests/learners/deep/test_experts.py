"""Experts: few are asked for a row, all are asked about as often, in a perceptron as inside a transformer."""

import pytest
import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.experts import Experts
from ensemble_forecast.learners.deep.moe import Moe
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.learners.deep.transformer import Transformer

WIDTH, EXPERTS, TOP = 6, 8, 2


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def experts():
    return Experts(WIDTH, hidden=5, experts=EXPERTS, top=TOP)


def load(module, rows):
    """Share of the questions that each expert gets."""
    return (module.weights(rows) > 0).float().mean(dim=0) * EXPERTS / TOP


def test_as_many_are_asked_for_a_row_as_wanted():
    assert ((experts().weights(torch.randn(50, WIDTH)) > 0).sum(dim=1) == TOP).all()


def test_an_expert_who_is_not_asked_changes_nothing():
    module, row = experts().eval(), torch.randn(1, WIDTH)
    before, asked = module(row), module.weights(row)[0] > 0
    with torch.no_grad():
        module.lower[~asked] += 1.0
    torch.testing.assert_close(module(row), before)
    with torch.no_grad():
        module.lower[asked] += 1.0
    assert (module(row) - before).abs().max() > 1e-3


def test_what_is_said_is_weighted_by_the_score():
    module, row = experts().eval(), torch.randn(1, WIDTH)
    said = [torch.nn.functional.gelu(row @ module.lift[e] + module.lift_bias[e]) @ module.lower[e] + module.lower_bias[e] for e in range(EXPERTS)]
    torch.testing.assert_close(module(row), sum(weight * one for weight, one in zip(module.weights(row)[0], said, strict=True)))


def test_a_gate_that_prefers_few_is_balanced_in_training_and_left_alone_in_use():
    module, rows = experts(), torch.randn(400, WIDTH) + 2.0
    with torch.no_grad():
        module.gate.weight[:TOP] += 1.0  # every row now prefers these
    assert load(module.eval(), rows).max() > 3.5
    for _ in range(700):
        module.train()(rows)
    bias = module.bias_E.clone()
    assert load(module.eval(), rows).max() < 1.6
    assert load(module, rows).min() > 0.4
    torch.testing.assert_close(module.bias_E, bias)


def test_the_bias_chooses_and_never_weights():
    module, rows = experts().eval(), torch.randn(5, WIDTH)
    module.bias_E += torch.arange(EXPERTS) * 10.0  # now the last ones are asked, whatever the row
    weight_NE = module.weights(rows)
    torch.testing.assert_close(weight_NE[:, -TOP:], torch.sigmoid(module.gate(rows))[:, -TOP:])
    assert not weight_NE[:, :-TOP].any()


def test_a_transformer_may_have_experts_for_its_tokens():
    shapes = Shapes(context=24, channels=1, extras=8, horizon=6, outputs=3)
    plain, mixed = (Transformer(width=8, heads=2, layers=2, experts=experts).net(shapes) for experts in (0, 4))
    assert not [module for module in plain.modules() if isinstance(module, Experts)]
    assert len([module for module in mixed.modules() if isinstance(module, Experts)]) == 2
    assert mixed(torch.randn(3, 24, 1), torch.randn(3, 8)).shape == (3, 6, 3)


@pytest.mark.parametrize("top", [0, 5])
def test_more_experts_than_there_are_cannot_be_asked(top):
    with pytest.raises(BadInput, match="between 1 and experts"):
        Moe(experts=4, top=top).net(Shapes(context=4, channels=1, extras=1, horizon=1, outputs=1))
