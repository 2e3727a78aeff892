"""Ridge against the slow solution of the same problem, and the contract of a learner that corrects."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter
from toys import random_walk, seasonal_panel

from ensemble_forecast.data.origins import Origins, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, TooShort
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.learners.base import recipe_for_refit
from ensemble_forecast.learners.linear.effects import PENALTY, _step
from ensemble_forecast.learners.linear.gram import Eigen
from ensemble_forecast.learners.linear.problem import _left_out
from ensemble_forecast.learners.linear.ridge import Ridge
from ensemble_forecast.learners.linear.scaling import context_length, windows_of
from ensemble_forecast.metrics import log_loss, mase
from ensemble_forecast.windows import Roles, roles_until

NEVER = Deadline.never()


def fitted(learner, panel, task, cutoff=None, **kwargs):
    cutoff_S = panel.ends_S if cutoff is None else np.full(panel.n_series, cutoff)
    cut = panel.cut(cutoff_S)
    return learner.fit(cut, roles_until(cut, task, cutoff_S, 10, **kwargs), task, NEVER)


@pytest.mark.parametrize("penalty", [1e-3, 0.5, 100.0])
def test_the_closed_form_equals_least_squares_with_rows_added_for_the_penalty(penalty):
    rng = np.random.default_rng(1)
    x, target, weight = rng.normal(size=(60, 5)) + 3, rng.normal(size=(60, 4)), rng.uniform(0.2, 3, size=60)
    eigen = Eigen.of(x, target, weight)
    root = np.sqrt(weight)[:, None]
    design = np.concatenate([np.ones((60, 1)), x], axis=1) * root
    added = np.concatenate([np.zeros((5, 1)), np.sqrt(eigen.ridge(penalty)) * np.eye(5)], axis=1)
    slow = np.linalg.lstsq(np.concatenate([design, added]), np.concatenate([target * root, np.zeros((5, 4))]), rcond=None)[0]
    coefficients = eigen.coefficients(penalty)
    np.testing.assert_allclose(coefficients, slow[1:], atol=1e-9)
    np.testing.assert_allclose(eigen.intercept_H - eigen.mean_F @ coefficients, slow[0], atol=1e-9)


def test_the_degrees_of_freedom_are_the_trace_of_the_smoother():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 6))
    eigen = Eigen.of(x, rng.normal(size=(40, 2)), np.ones(40))
    centred = x - x.mean(axis=0)
    smoother = centred @ np.linalg.solve(centred.T @ centred + eigen.ridge(2.0) * np.eye(6), centred.T)
    assert eigen.freedom(2.0) == pytest.approx(1 + np.trace(smoother))


def test_windows_are_padded_with_the_mean_of_the_first_four_values():
    panel = Panel.of([np.array([4.0, 6.0, 8.0, 2.0, 9.0]), np.array([4.0, 6.0, 100.0])])
    padded = windows_of(panel, Origins(np.array([0, 1]), np.array([4, 1])), 7)
    assert padded.tolist() == [[5, 5, 4, 6, 8, 2, 9], [5, 5, 5, 5, 5, 4, 6]]


def test_the_context_never_exceeds_six_tenths_of_the_median_length():
    panel = Panel.of([np.arange(50.0)] * 3)
    assert context_length(panel, Task(horizon=7), 200) == 30
    assert context_length(panel, Task(horizon=7), 12) == 12
    assert context_length(panel, Task(horizon=2), None) == 14  # two weeks of days


@pytest.mark.parametrize("centre", ["last", "season", "window"])
@pytest.mark.parametrize("base", ["centre", "seasonal_naive"])
@pytest.mark.parametrize("scale", ["std", "mad", "series", "level"])
def test_every_normalisation_beats_the_seasonal_naive_on_noisy_seasons(centre, base, scale):
    task, panel = Task(horizon=7, season_length=7), seasonal_panel()
    learner = fitted(Ridge(centre=centre, base=base, scale=scale), panel, task, cutoff=120)
    origins = Origins.between(np.full(3, 120), np.full(3, 142))
    forecast = learner.predict(panel, origins, NEVER)
    assert forecast.shape == (69, 7, 9)
    assert (np.diff(forecast, axis=2) >= 0).all()
    outcome, ones = truth(panel, origins, 7), np.ones(69)
    naive = np.stack([panel.y[row - 6 : row + 1] for row in origins.rows(panel)])
    assert mase(outcome, forecast, ones, task.quantiles) < 0.85 * mase(outcome, naive[..., None].repeat(9, axis=2), ones, task.quantiles)


def test_an_informative_past_covariate_is_used():
    task, (told, untold) = Task(horizon=1), random_walk(3)
    scores = []
    for panel in (told, untold):
        origins = Origins.between(np.array([450]), np.array([598]))
        forecast = fitted(Ridge(), panel, task, cutoff=450).predict(panel, origins, NEVER)
        scores.append(mase(truth(panel, origins, 1), forecast, np.ones(149), task.quantiles))
    assert scores[0] < 0.6 * scores[1]


def test_a_base_that_is_exactly_right_is_left_alone():
    task, panel = Task(horizon=7, season_length=7), seasonal_panel(n_series=4)
    roles = roles_until(panel, task, panel.ends_S, 10)
    with_base = [replace(origins, base_NH=truth(panel, origins, 7)) for origins in (roles.fit, roles.stop)]
    learner = Ridge().fit(panel, Roles(*with_base), task, NEVER)
    forecast = learner.predict(panel, with_base[1], NEVER)
    np.testing.assert_allclose(forecast, with_base[1].base_NH[..., None].repeat(9, axis=2), atol=1e-6)


def test_noise_gets_a_large_penalty_and_signal_a_small_one():
    rng = np.random.default_rng(4)
    walk = Panel.of([np.cumsum(rng.normal(size=500))])
    assert fitted(Ridge(), walk, Task(horizon=5)).stopped_["penalty"] >= 10
    assert fitted(Ridge(base="centre"), seasonal_panel(), Task(horizon=7, season_length=7)).stopped_["penalty"] <= 0.1


def test_a_weak_signal_is_told_from_none_by_more_rows_than_the_newest():
    """Changes whose autocorrelation is 0.156: a stop role of 265 of them takes it for noise now and then."""
    task, chosen = Task(horizon=1), {"weak": [], "none": []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=1775)
        for name, memory in (("weak", 0.156), ("none", 0.0)):
            change = lfilter([1.0], [1.0, -memory], noise)
            learner = fitted(Ridge(context=5, base="centre"), Panel.of([100 + np.cumsum(change)]), task)
            chosen[name].append(learner.stopped_["penalty"])
    assert max(chosen["weak"]) <= 1.0
    assert np.median(chosen["none"]) >= 100.0


@pytest.mark.parametrize("horizon", [1, 4])
def test_a_block_in_time_is_judged_by_rows_that_share_no_label_with_it(horizon):
    task, walks = Task(horizon=horizon), np.random.default_rng(1).normal(size=(2, 600)).cumsum(axis=1)
    panel = Panel.of([walks[0], walks[1, 50:]])
    learner, everything = Ridge(context=5), Origins.between(np.array([10, 40]), panel.ends_S - horizon)
    learner.fit(panel, Roles(everything), task, NEVER)
    problem = learner._problem(panel, everything, task, 10_000)
    marked = replace(problem, inputs=replace(problem.inputs, x_NF=problem.origins.step[:, None].astype(float)))  # the input is when
    rows = 0
    for eigen, block in _left_out(marked, problem.target_NH, np.ones(len(problem)), horizon):
        first, last = block.origins.step.min(), block.origins.step.max()
        apart = (problem.origins.step + horizon <= first) | (problem.origins.step >= last + horizon)
        assert eigen.mean_F == pytest.approx(problem.origins.step[apart].mean())
        rows += len(block)
    assert rows == len(problem)


def test_a_refit_uses_the_penalty_that_the_stop_role_chose():
    task, panel = Task(horizon=7, season_length=7), seasonal_panel()
    learner = fitted(Ridge(), panel, task)
    again = recipe_for_refit(learner)
    assert again.penalty == learner.stopped_["penalty"]
    assert fitted(again, panel, task, with_stop=False).stopped_ == {}


def test_a_forecast_depends_neither_on_the_future_nor_on_the_other_origins():
    task, panel = Task(horizon=7, season_length=7), seasonal_panel()
    learner = fitted(Ridge(), panel, task, cutoff=100)
    origins = Origins.between(np.full(3, 1), np.full(3, 120))
    whole = learner.predict(panel, origins, NEVER)
    assert np.isnan(whole[origins.step < 2]).all()
    assert np.isfinite(whole[origins.step >= 2]).all()
    for n in (5, 200):
        alone = origins.take(np.array([n]))
        cutoff_S = np.full(3, int(alone.step[0]))
        assert np.array_equal(learner.predict(panel.cut(cutoff_S), alone, NEVER)[0], whole[n])


def test_missing_targets_are_never_trained_on():
    task, panel = Task(horizon=3, season_length=7), seasonal_panel(n_series=1, length=200)
    y = panel.y.copy()
    y[50:60] = np.nan
    holes = replace(panel, y=y)
    learner = fitted(Ridge(), holes, task)
    assert np.isfinite(learner.predict(holes, Origins.ends(holes), NEVER)).all()


def test_direction_is_a_probability_that_shrinks_to_the_base_rate_without_signal():
    rng = np.random.default_rng(5)
    task = Task(horizon=3, kind="direction")
    walk = Panel.of([np.cumsum(rng.normal(size=500))])
    forecast = fitted(Ridge(), walk, task).predict(walk, Origins.between(np.array([300]), np.array([499])), NEVER)
    np.testing.assert_allclose(forecast.sum(axis=2), 1.0)
    assert np.abs(forecast - 0.5).max() < 0.15


def test_direction_finds_a_signal():
    task, (panel, _) = Task(horizon=1, kind="direction"), random_walk(6)
    forecast = fitted(Ridge(), panel, task, cutoff=450).predict(panel, origins := Origins.between(np.array([450]), np.array([598])), NEVER)
    rises = (truth(panel, origins, 1)[:, 0] > panel.y[origins.step]).astype(float)[:, None]
    assert log_loss(rises, forecast, np.ones(149), ()) < 0.5


def test_series_without_a_target_are_too_short():
    panel = Panel.of([np.arange(4.0)])
    with pytest.raises(TooShort, match="3 steps of history"):
        Ridge().fit(panel, Roles(Origins(np.array([0]), np.array([3]))), Task(horizon=7), NEVER)


def test_an_unknown_choice_is_refused():
    with pytest.raises(BadInput, match="centre must be one of"):
        Ridge(centre="middle")
    with pytest.raises(BadInput, match="half_life must be above 0"):
        Ridge(half_life=0.0)


def test_a_stop_role_without_targets_is_no_stop_role():
    panel, task = seasonal_panel(), Task(horizon=7, season_length=7)
    roles = roles_until(panel, task, panel.ends_S, 10)
    member = Ridge().fit(panel, Roles(roles.fit, Origins.ends(panel)), task, NEVER)
    assert member.stopped_ == {}
    assert np.isfinite(member.predict(panel, Origins.ends(panel), NEVER)).all()


def promoted_panel(seed=8, n_series=20, length=120, horizon=7, effect=4.0):
    """Weekly seasons, noise, and a promotion flag, known ahead, that lifts the target by ``effect`` on a fifth of the days."""
    rng = np.random.default_rng(seed)
    plain = [20 + 3 * np.sin(2 * np.pi * (np.arange(length) + phase) / 7) + rng.normal(size=length) for phase in rng.integers(0, 7, n_series)]
    flags = (rng.random((n_series, length + horizon)) < 0.2).astype(float)
    ahead = [np.concatenate([y + effect * flag[:length], np.full(horizon, np.nan)]) for y, flag in zip(plain, flags, strict=True)]
    panel = replace(Panel.of(ahead), lengths_S=np.full(n_series, length), known=flags.reshape(-1, 1), known_names=("promotion",))
    return panel, Panel.of(plain)


@pytest.mark.parametrize("base", ["seasonal_naive", "centre"])
def test_a_known_covariate_that_drives_the_target_leaves_only_the_noise(base):
    task = Task(horizon=7, season_length=7)
    scores = {}
    promoted, plain = promoted_panel()
    for name, panel in {"told": promoted, "untold": replace(promoted, known=promoted.known[:, :0], known_names=()), "calm": plain}.items():
        origins = Origins(np.arange(20), np.full(20, 112))
        learner = Ridge(base=base, centre="season")
        cut = panel.cut(np.full(20, 112), 7)
        forecast = learner.fit(cut, roles_until(cut, task, np.full(20, 112)), task, NEVER).predict(panel, origins, NEVER)
        scores[name] = mase(truth(panel, origins, 7), forecast, np.ones(20), task.quantiles)
    assert scores["untold"] > 1.5 * scores["told"]
    assert scores["told"] < 1.1 * scores["calm"]


def test_the_slope_of_a_known_covariate_is_found_in_the_units_of_the_target():
    panel, _ = promoted_panel(effect=4.0)
    task = Task(horizon=7, season_length=7)
    late = Origins.between(np.full(20, 80), panel.ends_S - 7)  # where the scale has settled
    learner = Ridge(base="seasonal_naive", scale="series").fit(panel, Roles(late), task, NEVER)
    scales = scale_at(panel, Origins.ends(panel), 7)
    assert learner.known_["slope_K"][0] / learner.known_["spread_K"][0] * scales.mean() == pytest.approx(4.0, rel=0.15)


def test_the_slope_is_that_of_least_squares_on_all_cells_at_once():
    rng = np.random.default_rng(9)
    x, ahead, weight = rng.normal(size=(50, 3)), rng.normal(size=(50, 4, 2)), rng.uniform(0.5, 2, size=50)
    target = x @ rng.normal(size=(3, 4)) + ahead @ np.array([2.0, -1.0]) + 0.1 * rng.normal(size=(50, 4))
    step, information, _ = _step(x, target, weight, ahead)
    ridge = Eigen.of(x, target, weight).ridge(PENALTY)
    design, root = np.zeros((200, 4 + 12 + 2)), np.sqrt(np.repeat(weight, 4))
    for n in range(50):
        for h in range(4):  # an intercept and window coefficients for each horizon step, two slopes for all
            design[4 * n + h, h] = 1.0
            design[4 * n + h, 4 + 3 * h : 7 + 3 * h] = x[n]
            design[4 * n + h, 16:] = ahead[n, h]
    penalty = np.diag([0.0] * 4 + [np.sqrt(ridge)] * 12 + [0.0] * 2)
    slow = np.linalg.lstsq(np.concatenate([design * root[:, None], penalty]), np.concatenate([target.ravel() * root, np.zeros(18)]), rcond=None)[0]
    np.testing.assert_allclose(step, slow[16:], rtol=1e-8)
    assert (np.linalg.eigvalsh(information) > 0).all()


def test_a_known_covariate_of_noise_is_all_but_ignored():
    panel, _ = promoted_panel(effect=0.0)
    task = Task(horizon=7, season_length=7)
    learner = Ridge().fit(panel, roles_until(panel, task, panel.ends_S), task, NEVER)
    assert abs(learner.known_["slope_K"][0]) < 0.02


def test_a_static_covariate_that_sets_the_growth_is_used():
    rng = np.random.default_rng(10)
    growth = rng.choice([-1.0, 1.0], 40)
    series = [np.concatenate([50 + 3 * rng.normal(size=24), 50 + 6 * sign + 3 * rng.normal(size=3)]) for sign in growth]
    series = [np.tile(values, 3) for values in series]  # every 27 steps a jump of known sign
    told = replace(Panel.of(series), static=growth[:, None], static_names=("sign",))
    scores = []
    for panel in (told, Panel.of(series)):
        task, origins = Task(horizon=3), Origins(np.arange(40), np.full(40, 77))
        cut = panel.cut(np.full(40, 77))
        steps = Origins(np.tile(np.arange(40), 2), np.repeat([23, 50], 40))
        forecast = Ridge(context=6, base="centre", centre="window", scale="series").fit(cut, Roles(steps), task, NEVER).predict(panel, origins, NEVER)
        scores.append(mase(truth(panel, origins, 3), forecast, np.ones(40), task.quantiles))
    assert scores[0] < 0.6 * scores[1]


def test_half_life_equals_weighted_least_squares():
    """One step ahead, one series: weights halve every so many steps, and nothing else changes."""
    y = np.cumsum(np.random.default_rng(11).normal(size=80))
    panel, task = Panel.of([y]), Task(horizon=1, kind="direction")
    origins = Origins.between(np.array([10]), np.array([78]))
    learner = Ridge(context=4, half_life=0.25, penalty=1e-12).fit(panel, Roles(origins), task, NEVER)
    design, labels, weights = [], [], []
    for step in origins.step:
        window = y[step - 3 : step + 1]
        scale = max(np.abs(np.diff(window)).mean(), 0.1 * np.abs(np.diff(y[: step + 1])).mean())
        design.append([1.0, *np.clip((window - window[-1]) / scale, -20, 20)[:3]])
        labels.append(1.0 if y[step + 1] > y[step] else -1.0)
        weights.append(0.5 ** ((79 - step) / 20))
    root = np.sqrt(weights)
    slow = np.linalg.lstsq(np.array(design) * root[:, None], np.array(labels) * root, rcond=None)[0]
    np.testing.assert_allclose(learner.coefficients_[:3, 0], slow[1:], rtol=1e-6)


@pytest.mark.parametrize("half_life", [None, 0.5])
def test_series_that_have_not_begun_change_nothing(half_life):
    rng = np.random.default_rng(4)
    series, task = [rng.normal(size=40).cumsum() for _ in range(3)], Task(horizon=3)
    here, with_others = Panel.of(series), Panel.of([*series, *([np.empty(0)] * 5)])
    origins = Origins.between(np.full(3, 6), np.full(3, 36))
    forecasts = [
        Ridge(half_life=half_life).fit(panel, Roles(origins), task, NEVER).predict(panel, Origins(np.arange(3), np.full(3, 39)), NEVER)
        for panel in (here, with_others)
    ]
    np.testing.assert_array_equal(*forecasts)
