"""What nets minimise: each loss against its formula, and what it learns against what is known of the distribution."""

import numpy as np
import pytest
import scipy.stats
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.classes import log_odds
from ensemble_forecast.learners.deep.corrections import Huber, Pinball, SquaredError
from ensemble_forecast.learners.deep.inputs import View, Windows
from ensemble_forecast.learners.deep.likelihoods import Gaussian, StudentT
from ensemble_forecast.learners.deep.losses import OF_CLASS, OF_CORRECTION, loss_for
from ensemble_forecast.learners.deep.recipe import LOSSES

CPU = torch.device("cpu")
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
TASK, DIRECTION = Task(horizon=2, quantiles=LEVELS), Task(horizon=2, kind="direction")
of_correction = pytest.mark.parametrize("name", OF_CORRECTION)
of_class = pytest.mark.parametrize("name", OF_CLASS)


def windows_of(y):
    view = View(context=4, season=1, horizon=2, past_mean_C=np.empty(0), past_std_C=np.empty(0))
    return Windows.of(Panel.of([y]), Origins.between(np.array([4]), np.array([len(y) - 3])), view, CPU)


def best_table(loss, target_NH, steps=2500):
    """What a net without inputs learns: a table, trained to the end."""
    table = torch.nn.Parameter(loss.climatology(target_NH) + 0.3)
    optimiser = torch.optim.Adam([table], lr=0.02)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        optimiser.zero_grad()
        loss.compare(table.expand(len(target_NH), *table.shape), target_NH, torch.ones(len(target_NH))).backward()
        optimiser.step()
    return table.detach()


def forecast_of(loss, table, windows):
    batch = windows.inputs(torch.arange(1))
    return loss.forecast(table[None], batch)[0].numpy(), batch


@of_correction
def test_unknown_targets_cost_nothing_and_members_count_by_their_mean_loss(name):
    loss, generator = loss_for(TASK, name), torch.Generator().manual_seed(0)
    outputs = len(LEVELS) if isinstance(loss, Pinball | SquaredError) or name in ("mae", "huber") else loss.n_outputs
    output, target = torch.randn(3, 6, 2, outputs, generator=generator), torch.randn(6, 2, generator=generator)
    target[0, 1] = torch.nan
    weight = torch.rand(6, generator=generator)
    alone = [loss.compare(member, target, weight) for member in output]
    torch.testing.assert_close(loss.compare(output, target, weight), torch.stack(alone).mean())
    changed = output.clone()
    changed[:, 0, 1] = 99.0
    torch.testing.assert_close(loss.compare(changed, target, weight), loss.compare(output, target, weight))


def test_the_pinball_loss_is_twice_the_mean_quantile_loss():
    output, target, weight = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 5.0]]]), torch.tensor([[2.5]]), torch.tensor([0.5])
    expected = 2 * np.mean([max(q * (2.5 - f), (q - 1) * (2.5 - f)) for q, f in zip(LEVELS, (0, 1, 2, 3, 5), strict=True)]) * 0.5
    assert float(Pinball(LEVELS).compare(output, target, weight)) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "formula"), [("mse", lambda e: e**2), ("mae", abs), ("huber", lambda e: e**2 / 2 if abs(e) < 1 else abs(e) - 0.5)])
def test_point_losses_follow_their_formulas_and_the_point_does_not_feel_the_distances(name, formula):
    loss, target, weight = loss_for(TASK, name), torch.tensor([[2.5]]), torch.ones(1)
    for point in (2.1, 0.0, 4.0):
        centre = torch.tensor([[[point]]], requires_grad=True)
        offsets = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
        value = loss.compare(centre + offsets, target, weight)
        pinball = Pinball(LEVELS).compare(centre.detach() + offsets, target, weight)
        assert float((value - pinball).detach()) == pytest.approx(formula(2.5 - point), rel=1e-5)
        value.backward()
        step = 1e-3
        slope = (formula(2.5 - point - step) - formula(2.5 - point + step)) / (2 * step)
        assert float(centre.grad) == pytest.approx(slope, rel=1e-2)


@of_correction
def test_climatology_and_training_to_the_end_find_the_distribution(name):
    rng = np.random.default_rng(1)
    y = rng.standard_t(5, size=4000) if name == "student_t" else rng.normal(size=4000)
    windows = windows_of(y)
    loss = loss_for(TASK, name)
    target_NH = torch.from_numpy(np.column_stack([y[5:-1], y[6:]])).float()
    expected = scipy.stats.t.ppf(LEVELS, 5) if name == "student_t" else scipy.stats.norm.ppf(LEVELS)
    learnt = best_table(loss, target_NH)
    for table, allowed in ((learnt, 0.12), (loss.climatology(target_NH), 0.35 if name == "student_t" else 0.12)):
        forecast_HQ, batch = forecast_of(loss, table, windows)
        found_HQ = (forecast_HQ - batch.base_BH[0, :, None].numpy()) / float(batch.unit_B[0])
        np.testing.assert_allclose(found_HQ, np.tile(expected, (2, 1)), atol=allowed)


@pytest.mark.parametrize(("loss", "density"), [(Gaussian(LEVELS), scipy.stats.norm), (StudentT(LEVELS), scipy.stats.t)])
def test_likelihoods_equal_scipy(loss, density):
    output = torch.tensor([[[0.3, -0.2, 0.1][: loss.n_outputs]]], dtype=torch.float64)
    parameters = [float(part) for part in loss.parameters(output)]
    shape = parameters[2:]
    value = loss.compare(output, torch.tensor([[1.7]], dtype=torch.float64), torch.ones(1))
    assert float(value) == pytest.approx(-density.logpdf(1.7, *shape, loc=parameters[0], scale=parameters[1]))
    np.testing.assert_allclose(loss.levels(loss.parameters(output))[0, 0], density.ppf(LEVELS, *shape), rtol=1e-6)


def test_huber_is_squared_near_zero_and_absolute_far_away():
    error = torch.tensor([[0.5, -3.0]])
    torch.testing.assert_close(Huber(LEVELS).of_error(error), torch.tensor([[0.125, 2.5]]))


@of_class
@pytest.mark.parametrize("balanced", [False, True])
def test_class_losses_learn_the_base_rate_balanced_or_not(name, balanced):
    y = np.where(np.arange(2000) % 10 < 8, 1.0, -3.0).cumsum()  # up four steps in five
    windows = windows_of(y)
    target_NH = loss_for(DIRECTION, name).targets(windows)
    odds_H = log_odds(target_NH).double().numpy() if balanced else None
    loss = loss_for(DIRECTION, name, odds_H)
    share_H = target_NH.mean(dim=0).numpy()
    for table in (loss.climatology(target_NH), best_table(loss, target_NH)):
        forecast_H2, _ = forecast_of(loss, table, windows)
        np.testing.assert_allclose(forecast_H2[:, 1], share_H, atol=0.01)
        np.testing.assert_allclose(forecast_H2.sum(axis=1), 1.0)


@of_class
def test_balanced_classes_weigh_the_same(name):
    label = torch.tensor([[1.0, 1.0]] * 900 + [[0.0, 0.0]] * 100)
    loss = loss_for(DIRECTION, name, log_odds(label).double().numpy())
    output = loss.climatology(label).expand(1000, 2, -1).clone().requires_grad_()
    loss.compare(output, label, torch.ones(1000)).backward()
    gradient_N = output.grad[:, 0, -1]
    assert float(gradient_N[:900].sum()) == pytest.approx(-float(gradient_N[900:].sum()), rel=0.02)


def test_the_two_class_losses_say_the_same():
    label, up = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.7], [-0.2]]])
    two = torch.cat([-up / 2, up / 2], dim=-1)
    torch.testing.assert_close(
        loss_for(DIRECTION, "binary_cross_entropy").compare(up, label, torch.ones(1)),
        loss_for(DIRECTION, "categorical_cross_entropy").compare(two, label, torch.ones(1)),
    )


@pytest.mark.parametrize(("task", "name"), [(TASK, "binary_cross_entropy"), (DIRECTION, "pinball"), (TASK, "sharp")])
def test_a_loss_of_another_kind_is_refused(task, name):
    with pytest.raises(BadInput, match=f"for kind '{task.kind}'; got '{name}'"):
        loss_for(task, name)


def test_the_names_that_a_space_knows_without_torch_are_those_of_the_losses():
    assert {"quantiles": tuple(OF_CORRECTION), "direction": tuple(OF_CLASS)} == LOSSES
