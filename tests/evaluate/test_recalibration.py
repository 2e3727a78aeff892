import numpy as np
import pytest
import statsmodels.api as sm

from ensemble_forecast.evaluate.recalibration import recalibration
from ensemble_forecast.evaluate.sample import Sample


def chances(odds):
    up = 1 / (1 + np.exp(-odds))
    return np.stack([1 - up, up], axis=-1)


def alone(n, horizon=1):
    return Sample(np.zeros(n, int), np.arange(n), horizon)


def test_slope_intercept_and_interval_are_those_of_a_library():
    rng = np.random.default_rng(0)
    odds = 0.3 + 0.4 * rng.normal(size=(300, 1))
    label = (rng.random((300, 1)) < 1 / (1 + np.exp(0.1 - 2 * odds))).astype(float)
    found = recalibration(label, chances(odds), alone(300))
    oracle = sm.Logit(label[:, 0], sm.add_constant(odds[:, 0])).fit(disp=0, cov_type="HC0", use_t=True)
    assert (found["intercept"], found["slope"]) == pytest.approx(tuple(oracle.params), abs=1e-6)
    half = (oracle.conf_int()[1, 1] - oracle.conf_int()[1, 0]) / 2 * np.sqrt(300 / 299)
    assert found["interval"] == pytest.approx([found["slope"] - half, found["slope"] + half], rel=1e-3)


def overlapping(rng, n, horizon, n_series=1, shared=0.0):
    """Labels that overlap, and log-odds that have seen a part of every change, of some series with a common shock."""
    step = np.sqrt(1 - shared) * rng.normal(size=(n_series, n + horizon)) + np.sqrt(shared) * rng.normal(size=n + horizon)
    hint = step + 3 * rng.normal(size=step.shape)
    change, seen = (np.lib.stride_tricks.sliding_window_view(each[:, 1:], horizon, axis=1)[:, :n].sum(axis=-1) for each in (step, hint))
    series, time = np.repeat(np.arange(n_series), n), np.tile(np.arange(n), n_series)
    return (change.reshape(-1, 1) > 0).astype(float), chances(0.5 * seen.reshape(-1, 1) / np.sqrt(horizon)), Sample(series, time, horizon)


@pytest.mark.parametrize(("horizon", "n_series", "shared"), [(1, 1, 0.0), (5, 1, 0.0), (1, 30, 0.5)])
def test_the_interval_holds_the_true_slope_nine_times_in_ten_where_labels_overlap_or_shocks_are_shared(horizon, n_series, shared):
    large = recalibration(
        *overlapping(np.random.default_rng(99), 200_000 // n_series, horizon, n_series, shared)[:2], alone(200_000 // n_series * n_series)
    )
    held = 0
    for seed in range(100):
        low, high = recalibration(*overlapping(np.random.default_rng(seed), 300 if n_series == 1 else 40, horizon, n_series, shared))["interval"]
        held += low < large["slope"] < high
    assert held >= 86


@pytest.mark.parametrize(
    ("odds", "label", "reason"),
    [
        (np.linspace(-1, 1, 40), np.arange(40) < 3, "too few outcomes"),
        (np.full(40, 0.2), np.arange(40) % 2, "all probabilities are the same"),
        (np.linspace(-1, 1, 40), np.arange(40) >= 20, "without a miss"),
    ],
)
def test_where_there_is_no_slope_the_reason_is_told(odds, label, reason):
    found = recalibration(label.astype(float)[:, None], chances(odds[:, None]), alone(40))
    assert reason in found["reason"]
    assert found["slope"] is found["interval"] is None


def test_what_is_not_known_is_left_out():
    rng = np.random.default_rng(1)
    odds = rng.normal(size=(200, 2))
    label = (rng.random((200, 2)) < 1 / (1 + np.exp(-odds))).astype(float)
    label[120:] = np.nan
    odds[150:] = 7.0
    found, alike = (recalibration(label[:n], chances(odds[:n]), alone(n, 2)) for n in (200, 120))
    assert found["slope"] == pytest.approx(alike["slope"])
