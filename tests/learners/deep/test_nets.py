"""Nets as learners: what they learn, what they honour, and that nothing but the seed decides."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_forecast.data.origins import Origins, outcome, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, NotFitted, TooShort
from ensemble_forecast.learners.base import recipe_for_refit
from ensemble_forecast.learners.deep import nets
from ensemble_forecast.learners.deep.lstm import Lstm
from ensemble_forecast.learners.deep.mlp import Mlp
from ensemble_forecast.learners.deep.resnet import ResNet
from ensemble_forecast.learners.deep.shapes import Shapes
from ensemble_forecast.metrics import coverage, log_loss, mase, sql
from ensemble_forecast.windows import Roles

NEVER = Deadline.never()
NETS = [
    Mlp(steps=150, width=32, blocks=1, context=12, batch=64, learning_rate=5e-3),
    Lstm(steps=150, hidden=16, patch=4, context=12, batch=64, learning_rate=1e-2),
]
both = pytest.mark.parametrize("learner", NETS, ids=lambda learner: learner.family)


def roles_of(panel, split, stop=None):
    """Fit on origins up to ``split``, stop on those up to ``stop``."""
    first = np.full(panel.n_series, 4)
    later = None if stop is None else Origins.between(first * 0 + split + 6, first * 0 + stop)
    return Roles(Origins.between(first, first * 0 + split), later)


def wave_panel(n=240, season=6, seed=0):
    """A season, and noise around it that returns to its mean: the seasonal naive doubles the noise."""
    rng = np.random.default_rng(seed)
    noise = np.zeros(n)
    for t in range(1, n):
        noise[t] = 0.5 * noise[t - 1] + rng.normal()
    return Panel.of([50 + 5 * np.sin(np.arange(n) * 2 * np.pi / season) + noise, 20 + noise[::-1]])


TASK = Task(horizon=6, season_length=6)


@both
def test_nets_beat_the_seasonal_naive_on_noise_that_returns_to_its_mean(learner):
    panel = wave_panel()
    fitted = replace(learner).fit(panel.cut(np.array([180, 180])), roles_of(panel, 150, 174), TASK, NEVER)
    later = Origins.between(np.array([180, 180]), np.array([233, 233]))
    truth_NH, forecast_NHQ, ones = truth(panel, later, 6), fitted.predict(panel, later, NEVER), np.ones(len(later))
    naive_NHQ = np.stack([panel.y[later.rows(panel)[:, None] + np.arange(-5, 1)]] * 9, axis=-1)
    assert mase(truth_NH, forecast_NHQ, ones, TASK.quantiles) < 0.9 * mase(truth_NH, naive_NHQ, ones, TASK.quantiles)
    assert 0.6 < coverage(truth_NH, forecast_NHQ) < 0.95


@both
def test_nets_use_an_informative_past_covariate(learner):
    rng = np.random.default_rng(3)
    shock = rng.normal(size=400)
    y = np.concatenate([[0.0], shock[:-1]]).cumsum() + 0.1 * rng.normal(size=400)  # tomorrow's change is known today
    panel, task = Panel.of([y], past=[shock[:, None]]), Task(horizon=1)
    later = Origins.between(np.array([320]), np.array([398]))
    losses = {}
    for covariates in (True, False):
        fitted = replace(learner, covariates=covariates, steps=300).fit(panel.cut(np.array([320])), roles_of(panel, 310), task, NEVER)
        losses[covariates] = sql(truth(panel, later, 1), fitted.predict(panel, later, NEVER), np.ones(len(later)), task.quantiles)
    assert losses[True] < 0.6 * losses[False]


@both
def test_direction_gives_probabilities_that_beat_a_coin(learner):
    rng = np.random.default_rng(1)
    panel, task = Panel.of([rng.normal(size=400)]), Task(horizon=2, kind="direction")
    fitted = replace(learner).fit(panel.cut(np.array([300])), roles_of(panel, 290), task, NEVER)
    later = Origins.between(np.array([300]), np.array([397]))
    forecast_NHQ = fitted.predict(panel, later, NEVER)
    np.testing.assert_allclose(forecast_NHQ.sum(axis=-1), 1)
    assert log_loss(outcome(panel, later, task), forecast_NHQ, np.ones(98), task.quantiles) < 0.62


@both
def test_before_any_learning_direction_is_the_base_rate(learner):
    panel, task = Panel.of([np.where(np.arange(101) % 4 == 0, 1.0, 0.0).cumsum()]), Task(horizon=1, kind="direction")
    fitted = replace(learner, steps=1, learning_rate=1e-9).fit(panel, roles_of(panel, 99), task, NEVER)
    np.testing.assert_allclose(fitted.predict(panel, Origins.ends(panel), NEVER)[0, 0, 1], 25 / 98, rtol=1e-3)


@both
def test_a_given_base_is_corrected_instead_of_the_own_one(learner):
    panel = wave_panel()
    fit = roles_of(panel, 180).fit
    exact = Roles(Origins(fit.series, fit.step, truth(panel, fit, 6)))
    fitted = replace(learner).fit(panel.cut(np.array([186, 186])), exact, TASK, NEVER)
    later = Origins.between(np.array([190, 190]), np.array([230, 230]))
    base_NH = truth(panel, later, 6)
    forecast_NHQ = fitted.predict(panel, Origins(later.series, later.step, base_NH), NEVER)
    assert np.abs(forecast_NHQ - base_NH[..., None]).mean() < 0.5  # it has learnt that nothing is left to correct
    np.testing.assert_allclose(fitted.predict(panel, Origins(later.series, later.step, base_NH + 0.0), NEVER), forecast_NHQ)


@both
def test_the_same_seed_gives_the_same_bytes_whatever_ran_before(learner):
    panel = wave_panel()
    roles = roles_of(panel, 180, 200)
    first = replace(learner, steps=30).fit(panel, roles, TASK, NEVER)
    torch.rand(7)
    np.random.default_rng().normal(size=3)
    state = torch.get_rng_state()
    second = replace(learner, steps=30).fit(panel, roles, TASK, NEVER)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.stopped_ == second.stopped_
    assert all(first.weights_[name].tobytes() == second.weights_[name].tobytes() for name in first.weights_)
    other = replace(learner, steps=30).fit(panel, roles, replace(TASK, seed=1), NEVER)
    assert any(first.weights_[name].tobytes() != other.weights_[name].tobytes() for name in first.weights_)


@both
def test_a_forecast_reads_nothing_later_than_its_origin(learner):
    rng = np.random.default_rng(2)
    panel = Panel.of([rng.normal(size=60).cumsum(), rng.normal(size=60)], past=[rng.normal(size=(60, 2)) for _ in range(2)])
    fitted = replace(learner, steps=10).fit(panel, roles_of(panel, 40), TASK, NEVER)
    origins = Origins(np.array([0, 1, 1]), np.array([30, 12, 2]))
    after = np.arange(60) > 30
    scrambled = Panel.of(
        [np.where(after, 1e6, panel.values(0)), np.where(np.arange(60) > 12, -1e3, panel.values(1))],
        past=[np.where(after[:, None], 9e9, panel.past[:60]), np.where(np.arange(60)[:, None] > 12, np.nan, panel.past[60:])],
    )
    np.testing.assert_array_equal(fitted.predict(panel, origins, NEVER)[:2], fitted.predict(scrambled, origins, NEVER)[:2])


@both
def test_a_forecast_does_not_depend_on_the_other_origins_of_the_call(learner):
    panel = wave_panel()
    fitted = replace(learner, steps=10).fit(panel, roles_of(panel, 200), TASK, NEVER)
    many = Origins.between(np.array([2, 2]), np.array([239, 239]))
    together = fitted.predict(panel, many, NEVER)
    for n in (0, 63, 64, 200, len(many) - 1):
        np.testing.assert_array_equal(fitted.predict(panel, many.take(np.array([n])), NEVER)[0], together[n])


@both
def test_a_fitted_net_survives_a_pickle_before_and_after_its_first_forecast(learner):
    panel = wave_panel()
    fitted = replace(learner, steps=10).fit(panel, roles_of(panel, 200), TASK, NEVER)
    ends = Origins.ends(panel)
    fresh = pickle.loads(pickle.dumps(fitted)).predict(panel, ends, NEVER)
    expected = fitted.predict(panel, ends, NEVER)
    np.testing.assert_array_equal(fresh, expected)
    used = pickle.loads(pickle.dumps(fitted))
    assert "_module" not in vars(used)
    np.testing.assert_array_equal(used.predict(panel, ends, NEVER), expected)


@both
def test_fitting_again_starts_afresh(learner):
    panel = wave_panel()
    once = replace(learner, steps=10).fit(panel, roles_of(panel, 200), TASK, NEVER)
    expected = once.predict(panel, Origins.ends(panel), NEVER)
    twice = once.fit(panel, roles_of(panel, 100), TASK, NEVER).fit(panel, roles_of(panel, 200), TASK, NEVER)
    np.testing.assert_array_equal(twice.predict(panel, Origins.ends(panel), NEVER), expected)


@both
def test_training_moves_every_parameter(learner):
    panel = Panel.of([wave_panel().values(0)], past=[np.random.default_rng(0).normal(size=(240, 2))])
    start = replace(learner, steps=1, learning_rate=1e-12).fit(panel, roles_of(panel, 200), TASK, NEVER)
    end = replace(learner, steps=20).fit(panel, roles_of(panel, 200), TASK, NEVER)
    still = [name for name in start.weights_ if np.allclose(start.weights_[name], end.weights_[name], atol=1e-6)]
    assert still == []


@both
def test_a_net_gives_zeros_before_training(learner):
    net = learner.net(Shapes(context=12, channels=3, extras=5, horizon=4, outputs=9))
    output_BHQ = net(torch.randn(2, 12, 3), torch.randn(2, 5))
    assert output_BHQ.shape == (2, 4, 9)
    assert not output_BHQ.any()


@both
def test_early_stopping_finds_the_length_of_the_refit(learner):
    panel = wave_panel()
    fitted = replace(learner, steps=400).fit(panel, roles_of(panel, 20, 200), TASK, NEVER)
    recipe = recipe_for_refit(fitted)
    assert recipe.steps == fitted.stopped_["steps"] < 400
    assert recipe.fit(panel, roles_of(panel, 200), TASK, NEVER).stopped_ == {"steps": recipe.steps}


@both
def test_a_deadline_truncates_the_fit_and_says_so(learner):
    panel = wave_panel()
    fitted = replace(learner, steps=100_000).fit(panel, roles_of(panel, 200), TASK, Deadline.after(0.1))
    assert fitted.truncated_
    assert np.isfinite(fitted.predict(panel, Origins.ends(panel), NEVER)).all()
    assert not replace(learner, steps=5).fit(panel, roles_of(panel, 200), TASK, NEVER).truncated_


@both
def test_origins_with_fewer_than_three_steps_get_nan(learner):
    panel = wave_panel()
    fitted = replace(learner, steps=5).fit(panel, roles_of(panel, 200), TASK, NEVER)
    forecast_NHQ = fitted.predict(panel, Origins(np.zeros(4, dtype=int), np.arange(4)), NEVER)
    assert np.isnan(forecast_NHQ).all(axis=(1, 2)).tolist() == [True, True, False, False]
    assert fitted.predict(panel, Origins(np.zeros(0, dtype=int), np.zeros(0, dtype=int)), NEVER).shape == (0, 6, 9)


@both
@pytest.mark.parametrize("values", [np.zeros(9), np.full(9, 5.0), np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5])])
def test_tiny_and_constant_series_are_served(learner, values):
    panel = Panel.of([values], past=[np.full((9, 1), np.nan)])
    fitted = replace(learner, steps=5, context=None).fit(panel, Roles(Origins.between(np.array([2]), np.array([6]))), Task(horizon=2), NEVER)
    forecast_NHQ = fitted.predict(panel, Origins.ends(panel), NEVER)
    assert np.isfinite(forecast_NHQ).all()
    assert (np.diff(forecast_NHQ, axis=-1) >= 0).all()


@both
def test_missing_targets_are_not_trained_on(learner):
    y = wave_panel().values(0).copy()
    y[[50, 51, 120, 199]] = np.nan
    panel = Panel.of([y])
    fitted = replace(learner, steps=20).fit(panel, roles_of(panel, 200), TASK, NEVER)
    assert all(np.isfinite(array).all() for array in fitted.weights_.values())
    assert np.isfinite(fitted.predict(panel, Origins.ends(panel), NEVER)).all()


@both
def test_nothing_to_learn_from_is_too_short(learner):
    panel = Panel.of([np.arange(5.0)])
    with pytest.raises(TooShort, match="needs an origin with 3 steps"):
        replace(learner).fit(panel, Roles(Origins.between(np.array([0]), np.array([1]))), TASK, NEVER)
    with pytest.raises(NotFitted):
        replace(learner).predict(panel, Origins.ends(panel), NEVER)


def test_the_automatic_context_follows_horizon_and_season_and_is_capped_by_the_length():
    long, short = Panel.of([np.arange(500.0)]), Panel.of([np.arange(20.0)])
    for panel, task, expected in [(long, Task(horizon=13), 52), (long, Task(horizon=24, season_length=12), 84), (short, Task(horizon=13), 12)]:
        assert Mlp(steps=1, width=8, blocks=0).fit(panel, roles_of(panel, 10), task, NEVER).view_["context"] == expected


@pytest.mark.parametrize("failures", [1, 2])
def test_too_little_memory_halves_the_batch_once_and_then_fails_with_its_reason(monkeypatch, failures):
    calls, real = [], nets.train

    def scarce(net, loss, fit, stop, recipe, *rest):
        calls.append((recipe.batch, recipe.accumulate))
        if len(calls) <= failures:
            raise torch.OutOfMemoryError("no memory left")
        return real(net, loss, fit, stop, recipe, *rest)

    monkeypatch.setattr(nets, "train", scarce)
    learner, panel = Mlp(steps=5, width=8, batch=64), wave_panel()
    if failures == 1:
        learner.fit(panel, roles_of(panel, 200), TASK, NEVER)
    else:
        with pytest.raises(MemoryError, match="half a batch of 64"):
            learner.fit(panel, roles_of(panel, 200), TASK, NEVER)
    assert calls == [(64, 1), (32, 2)]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "gaussian", "student_t"])
def test_every_loss_forecasts_quantiles_that_cover(loss):
    panel = wave_panel(n=400)
    net = Mlp(steps=300, width=32, blocks=1, context=12, batch=64, learning_rate=5e-3, loss=loss)
    fitted = net.fit(panel.cut(np.array([300, 300])), roles_of(panel, 260, 294), TASK, NEVER)
    later = Origins.between(np.array([300, 300]), np.array([393, 393]))
    assert 0.6 < coverage(truth(panel, later, 6), fitted.predict(panel, later, NEVER)) < 0.95


class _Until(Deadline):
    """A deadline that passes after so many looks at it: a step each."""

    def __init__(self, looks):
        object.__setattr__(self, "at", float("inf"))
        object.__setattr__(self, "looks", iter(range(looks)))

    def passed(self):
        return next(self.looks, None) is None


def test_a_net_that_grows_trains_its_later_blocks_in_the_second_half():
    panel = wave_panel()
    net = ResNet(steps=200, blocks=4, grow_from=1, width=8, context=12, ema=0.0)
    half, whole = (net.fit(panel, roles_of(panel, 200), TASK, deadline).weights_ for deadline in (_Until(90), NEVER))
    gains = [[weights[f"body.layers.1.blocks.{block}.gain"].item() for block in range(4)] for weights in (half, whole)]
    assert gains[0][1:] == [0.0, 0.0, 0.0]
    assert all(gains[1])


def promotions(n=400, seed=4):
    """A target that a known covariate lifts on its own day, with the covariate given a week beyond the target."""
    rng = np.random.default_rng(seed)
    lift = (rng.random(n + 7) < 0.3).astype(float)
    y = 10 + 4 * lift[:n] + 0.3 * rng.normal(size=n)
    panel = Panel.of([np.concatenate([y, np.full(7, np.nan)])])
    return replace(panel, lengths_S=np.array([n]), known=lift[:, None], known_names=("promotion",)), lift


@both
def test_nets_use_what_is_known_ahead_and_forecast_beyond_the_target_with_it(learner):
    panel, lift = promotions()
    task, later = Task(horizon=3), Origins.between(np.array([320]), np.array([395]))
    losses = {}
    for covariates in (True, False):
        fitted = replace(learner, covariates=covariates, steps=400).fit(panel.cut(np.array([320]), ahead=3), roles_of(panel, 310), task, NEVER)
        losses[covariates] = sql(truth(panel, later, 3), fitted.predict(panel, later, NEVER), np.ones(len(later)), task.quantiles)
        if covariates:
            ahead_H = fitted.predict(panel, Origins.ends(panel), NEVER)[0, :, 4]
            np.testing.assert_allclose(ahead_H, 10 + 4 * lift[400:403], atol=1.2)
    assert losses[True] < 0.6 * losses[False]


@pytest.mark.parametrize("centre", ["last", "season", "mean"])
def test_every_centre_learns(centre):
    panel = wave_panel()
    fitted = replace(NETS[0], centre=centre).fit(panel.cut(np.array([180, 180])), roles_of(panel, 150, 174), TASK, NEVER)
    later = Origins.between(np.array([180, 180]), np.array([233, 233]))
    naive_NHQ = np.stack([panel.y[later.rows(panel)[:, None] + np.arange(-5, 1)]] * 9, axis=-1)
    truth_NH, ones = truth(panel, later, 6), np.ones(len(later))
    assert mase(truth_NH, fitted.predict(panel, later, NEVER), ones, TASK.quantiles) < 0.95 * mase(truth_NH, naive_NHQ, ones, TASK.quantiles)


def test_where_the_last_value_is_best_a_net_says_so_from_the_first_step_if_it_corrects_that():
    panel = Panel.of([np.random.default_rng(3).normal(size=400).cumsum()])
    later = Origins.between(np.array([300]), np.array([393]))
    truth_NH, ones = truth(panel, later, 6), np.ones(len(later))

    def loss(base):
        fitted = replace(NETS[0], base=base, steps=1).fit(panel.cut(np.array([299])), roles_of(panel, 280), TASK, NEVER)
        return mase(truth_NH, fitted.predict(panel, later, NEVER), ones, TASK.quantiles)

    last_NHQ = np.repeat(panel.y[later.rows(panel)][:, None, None], 6, axis=1).repeat(9, axis=2)
    naive = mase(truth_NH, last_NHQ, ones, TASK.quantiles)
    assert loss("last") < 1.03 * naive < loss("seasonal_naive")


@pytest.mark.parametrize("of", ["a trend", "nothing but the season"])
def test_what_corrects_the_last_value_learns_series_whose_changes_are_small_or_regular(of):
    """Its unit is of single steps: neither far steps of a trend nor seasons without noise may be beyond it."""
    step = np.arange(400.0)
    noise = 0.1 * np.random.default_rng(0).normal(size=400)
    panel = Panel.of([step + noise if of == "a trend" else 5 * np.sin(step * 2 * np.pi / 6) + 20])
    task, horizon = Task(horizon=48, season_length=6), 48
    learner = replace(NETS[0], base="last", steps=300)
    fitted = learner.fit(panel.cut(np.array([299])), Roles(Origins.between(np.array([20]), np.array([250]))), task, NEVER)
    later = Origins.between(np.array([300]), np.array([340]))
    error_NH = np.abs(truth(panel, later, horizon) - fitted.predict(panel, later, NEVER)[..., 4])
    assert error_NH.mean() < 1.0


def test_a_net_saved_before_the_lag_of_its_noise_was_settled_sees_seasons_as_it_did():
    panel = wave_panel()
    fitted = replace(NETS[0], base="last").fit(panel.cut(np.array([180, 180])), roles_of(panel, 150, 174), TASK, NEVER)
    assert fitted.view_.pop("lag") == 1
    later = Origins.between(np.array([180, 180]), np.array([183, 183]))
    without_NHQ = fitted.predict(panel, later, NEVER)
    fitted.view_["lag"] = TASK.season_length
    np.testing.assert_array_equal(without_NHQ, fitted.predict(panel, later, NEVER))


@pytest.mark.parametrize(("field", "known"), [("centre", "last, season, mean"), ("base", "seasonal_naive, last")])
def test_an_unknown_way_to_see_a_window_is_refused(field, known):
    with pytest.raises(BadInput, match=f"{field} must be one of {known}"):
        replace(NETS[0], **{field: "middle"}).fit(wave_panel(), roles_of(wave_panel(), 100), TASK, NEVER)
