import numpy as np

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.halves import cross_fitted
from ensemble_forecast.ensemble.simplex import Simplex

NEVER = Deadline.never()


def test_rows_are_combined_by_weights_that_never_saw_their_series(seeded, task):
    rows = seeded.panel_rows(40, 1)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.5, 1.0, 1.5]))
    combined = cross_fitted(Simplex(), forecasts, truth, rows, task, NEVER)
    assert np.isfinite(combined).all()
    for n in range(0, 40, 7):
        changed = truth.copy()
        changed[n] += 10
        assert cross_fitted(Simplex(), forecasts, changed, rows, task, NEVER)[n].tobytes() == combined[n].tobytes()
    changed = truth + np.random.default_rng(1).normal(size=truth.shape)
    assert (cross_fitted(Simplex(), forecasts, changed, rows, task, NEVER) != combined).any()


def test_a_rule_that_learns_nothing_gives_what_it_gives_anyway(seeded, task):
    rows = seeded.single_rows(1, 20, 4)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.ones(3))
    forecasts[3] = np.nan
    combined = cross_fitted(Mean(), forecasts, truth, rows, task, NEVER)
    assert combined.tobytes() == Mean().fit(forecasts, truth, rows, task, NEVER).combine(forecasts, rows).tobytes()


def test_a_single_cluster_cannot_be_halved(seeded, task):
    rows = seeded.single_rows(1, 3, 4)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.ones(3))
    assert np.isnan(cross_fitted(Simplex(), forecasts, truth, rows, task, NEVER)).all()
