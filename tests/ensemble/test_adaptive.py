import numpy as np
import pytest
from scipy.stats import norm

from ensemble_forecast.data.task import DECILES
from ensemble_forecast.ensemble import adaptive
from ensemble_forecast.ensemble.adaptive import RATES, REPLAY, Replay, adapt, effective_levels, normal_scores, read_at

FITTED_UNTIL = 200


def live(seed, n, sd, horizon=1):
    """White noise after the fit, with standard normal forecasts from every origin; sd: its true standard deviation."""
    y = sd * np.random.default_rng(seed).normal(size=FITTED_UNTIL + n + horizon + 1)
    step = FITTED_UNTIL + np.arange(n)
    truth = y[step[:, None] + 1 + np.arange(horizon)]
    return Replay(step, np.tile(norm.ppf(DECILES), (n, horizon, 1)), truth)


def inside(truth, forecast):
    return (truth >= forecast[..., 0]) & (truth <= forecast[..., -1])


def test_coverage_returns_after_the_volatility_has_doubled():
    adapted, static = [], []
    for seed in range(3):
        past = live(seed, 120, 2.0)
        asked = np.arange(40, 120)
        adapted.append(inside(past.truth_PH[asked], adapt(past.forecast_PHQ[asked], past.step[asked], past, DECILES)))
        static.append(inside(past.truth_PH[asked], past.forecast_PHQ[asked]))
    assert np.mean(static) < 0.55
    assert 0.72 < np.mean(adapted) < 0.86


def test_far_steps_follow_a_doubled_volatility_too():
    changes, covered = [], []
    for seed in range(3):
        past = live(seed, 160, 2.0, horizon=12)
        asked = np.arange(60, 160, 5)
        adapted = adapt(past.forecast_PHQ[asked], past.step[asked], past, DECILES)
        changes.append(change_of_loss(past, asked, adapted))
        covered.append(inside(past.truth_PH[asked], adapted).mean())
    assert np.mean(changes) < -0.02
    assert np.mean(covered) > 0.65, "where the forecast as it is covers half"


def test_coverage_stays_nominal_where_nothing_has_changed():
    hits = []
    for seed in range(3):
        past = live(seed, 120, 1.0)
        hits.append(inside(past.truth_PH, adapt(past.forecast_PHQ, past.step, past, DECILES)))
    assert np.mean(hits) == pytest.approx(0.8, abs=0.04)


def test_overlapping_horizons_of_a_walk_are_not_followed_into_noise():
    spread_HQ = np.sqrt(np.arange(1, 25))[:, None] * norm.ppf(DECILES)
    changes = []
    for seed in range(3):
        walk = np.random.default_rng(seed).normal(size=500).cumsum()
        step = FITTED_UNTIL + np.arange(200)
        past = Replay(step, walk[step, None, None] + spread_HQ, walk[step[:, None] + 1 + np.arange(24)])
        asked = np.arange(60, 200, 10)
        adapted = adapt(past.forecast_PHQ[asked], past.step[asked], past, DECILES)
        changes.append(change_of_loss(past, asked, adapted))
    assert np.mean(changes) < 0.02, "what is honest stays nearly as it is, though every error is seen by 24 origins"


def change_of_loss(past, asked, adapted):
    """Quantile loss of adapted forecasts over that of the forecasts as they were, less one."""
    errors = [past.truth_PH[asked][..., None] - forecast for forecast in (adapted, past.forecast_PHQ[asked])]
    after, before = (np.maximum(np.array(DECILES) * error, (np.array(DECILES) - 1) * error).mean() for error in errors)
    return after / before - 1


def scalar_recursion(scores, level, rate, lowest):
    """Gibbs and Candes, equation 2, for a one-sided level and truth known one step later: effective levels after each truth."""
    levels = [level]
    for score in scores:
        in_force = min(max(levels[-1], lowest), 1 - lowest)
        err = float(score <= norm.ppf(in_force))
        levels.append(levels[-1] + rate * (level - err))
    return levels


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_one_rate_is_the_recursion_of_the_paper(rate, monkeypatch):
    monkeypatch.setattr(adaptive, "RATES", (rate,))
    monkeypatch.setattr(adaptive, "PRIOR", (1.0,))
    scores = 2 * np.random.default_rng(0).normal(size=60)
    found = effective_levels(np.arange(60), scores[:, None], 60, 1, (0.1, 0.5, 0.9))
    for place, level in enumerate((0.1, 0.5, 0.9)):
        last = scalar_recursion(scores, level, rate, adaptive.OUTERMOST)[-1]
        assert norm.cdf(found[place]) == pytest.approx(np.clip(last, 1e-3, 1 - 1e-3), rel=1e-9)


def test_rates_are_averaged_by_exponential_weights_on_their_losses():
    scores = 2 * np.random.default_rng(0).normal(size=60)
    found = effective_levels(np.arange(60), scores[:, None], 60, 1, (0.1, 0.5))
    answers, losses = [], []
    for rate in RATES:
        in_force = norm.ppf(np.clip(scalar_recursion(scores, 0.1, rate, adaptive.OUTERMOST), 1e-3, 1 - 1e-3))
        errors = scores - in_force[:-1]
        losses.append(np.maximum(0.1 * errors, -0.9 * errors).sum())
        answers.append(in_force[-1])
    weights = np.array(adaptive.PRIOR) * np.exp(-np.array(losses))
    assert found[0] == pytest.approx(weights @ answers / weights.sum(), rel=1e-9)


def test_an_origin_reads_no_label_after_it():
    past = live(0, 60, 2.0, horizon=6)
    asked = np.array([30])
    once = adapt(past.forecast_PHQ[asked], past.step[asked], past, DECILES)
    known = past.step[:, None] + 1 + np.arange(6) <= past.step[30]
    scrambled = Replay(past.step, past.forecast_PHQ, np.where(known, past.truth_PH, 1e6))
    assert adapt(past.forecast_PHQ[asked], past.step[asked], scrambled, DECILES).tobytes() == once.tobytes()
    assert (once != past.forecast_PHQ[asked]).any()
    newest = known & ~(past.step[:, None] + 1 + np.arange(6) <= past.step[29])
    told = Replay(past.step, past.forecast_PHQ, np.where(newest, 1e6, past.truth_PH))
    assert (adapt(past.forecast_PHQ[asked], past.step[asked], told, DECILES) != once).any(), "but all that is known"


def test_a_forecast_does_not_depend_on_the_other_origins():
    past = live(0, 60, 2.0, horizon=3)
    together = adapt(past.forecast_PHQ, past.step, past, DECILES)
    for n in (0, 17, 59):
        assert adapt(past.forecast_PHQ[[n]], past.step[[n]], past, DECILES)[0].tobytes() == together[n].tobytes()


def test_only_the_last_origins_are_replayed():
    past = live(0, REPLAY + 61, 2.0)
    last = slice(60, None)
    recent = Replay(past.step[last], past.forecast_PHQ[last], past.truth_PH[last])
    end = past.step[-1:] + 1
    forecast = past.forecast_PHQ[-1:]
    assert adapt(forecast, end, past, DECILES).tobytes() == adapt(forecast, end, recent, DECILES).tobytes()


def test_without_a_past_the_forecast_is_left_as_it_is():
    forecast = np.sort(np.random.default_rng(0).normal(size=(2, 5, 9)), axis=-1)
    nothing = Replay(np.empty(0, dtype=int), np.empty((0, 5, 9)), np.empty((0, 5)))
    unknown = Replay(np.arange(5), np.zeros((5, 5, 9)), np.full((5, 5), np.nan))
    for past in (nothing, unknown):
        assert adapt(forecast, np.array([7, 8]), past, DECILES).tobytes() == forecast.tobytes()


def test_the_result_is_coherent_keeps_the_median_and_leaves_missing_rows_missing():
    past = live(0, 80, 3.0, horizon=5)
    forecast = np.sort(np.random.default_rng(0).normal(size=(2, 5, 9)), axis=-1)
    forecast[1] = np.nan
    adapted = adapt(forecast, past.step[-2:] + 1, past, DECILES)
    assert (np.diff(adapted[0], axis=-1) >= 0).all()
    assert adapted[0, :, 4].tobytes() == forecast[0, :, 4].tobytes()
    assert np.isnan(adapted[1]).all()
    assert (adapted[0, :, 0] < forecast[0, :, 0]).all()


def test_far_steps_learn_only_once_their_labels_are_in():
    past = live(0, 6, 5.0, horizon=8)
    moved = adapt(past.forecast_PHQ[[5]], past.step[[5]], past, DECILES)[0] != past.forecast_PHQ[5]
    assert moved.any(axis=1).tolist() == [True] * 4 + [False] * 4, "two steps a bucket: after five steps two buckets are known"


def test_reading_at_the_score_of_a_value_gives_the_value():
    rng = np.random.default_rng(0)
    forecast = np.sort(rng.normal(size=(200, 1, 9)), axis=-1)
    truth = 3 * rng.normal(size=(200, 1))
    score = normal_scores(truth, forecast, DECILES)
    back = [read_at(forecast[n], score[n], DECILES)[0, 0] for n in range(200)]
    near = np.abs(score[:, 0]) < adaptive.FARTHEST
    assert near.sum() > 190
    np.testing.assert_allclose(np.array(back)[near], truth[near, 0], rtol=1e-9)


def test_a_forecast_without_width_calls_every_miss_far_off():
    flat = np.full((3, 1, 9), 2.0)
    scores = normal_scores(np.array([[2.0], [2.5], [1.0]]), flat, DECILES)[:, 0]
    assert scores[0] == 0
    assert scores[1] == -scores[2] > 3
    adapted = adapt(flat, np.array([3, 4, 5]), Replay(np.arange(3), flat, np.full((3, 1), 2.5)), DECILES)
    assert adapted.tobytes() == flat.tobytes(), "a width of nothing stays nothing, whatever the level"
