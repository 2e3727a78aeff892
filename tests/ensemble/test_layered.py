import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Median
from ensemble_forecast.ensemble.layered import Layered, cross_fit, learn_shares
from ensemble_forecast.ensemble.simplex import Simplex

NEVER = Deadline.never()


def test_given_shares_average_the_combiners_fitted_on_everything(field, task):
    forecasts, truth, rows = field
    layered = Layered(over=("simplex", "median"), shares=(0.75, 0.25)).fit(forecasts, truth, rows, task, NEVER)
    parts = [combiner.fit(forecasts, truth, rows, task, NEVER) for combiner in (Simplex(), Median())]
    below = [part.combine(forecasts, rows) for part in parts]
    np.testing.assert_allclose(layered.combine(forecasts, rows), 0.75 * below[0] + 0.25 * below[1], rtol=1e-12)
    np.testing.assert_allclose(layered.weights_M_, 0.75 * parts[0].weights_M_ + 0.25 * parts[1].weights_M_)


def test_shares_are_learnt_from_windows_the_layer_below_has_not_seen(field, task):
    """Who is good changes from window to window: what the simplex learns elsewhere is nonsense, and it gets no share."""
    forecasts, truth, rows = field[0][:300], field[1][:300], field[2].take(slice(0, 300))
    kept = Layered(over=("mean", "simplex")).fit(forecasts, truth, rows, task, NEVER)
    assert [part.family for part in kept.parts_] == ["simplex"]
    forecasts = np.where(rows.window[:, None, None, None] == 0, forecasts[..., [3, 1, 2, 0]] + 0.0, forecasts)
    misled = Layered(over=("mean", "simplex")).fit(forecasts, truth, rows, task, NEVER)
    assert misled.share_K_[[part.family for part in misled.parts_].index("mean")] > 0.5


def test_shares_below_a_tenth_are_dropped_and_the_rest_sum_to_one(field, task):
    forecasts, truth, rows = field
    later = {name: forecasts[..., member] for member, name in enumerate(("a", "b", "c"))}
    shares = learn_shares(later, truth, rows, task, NEVER)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0.1
    assert max(shares, key=shares.get) == "a"


def test_each_window_is_forecast_by_the_shares_of_the_others(field, task):
    forecasts, truth, rows = field
    rehearsed = {name: forecasts[..., member].astype(float) for member, name in enumerate(("a", "b"))}
    there = rows.window == 1
    changed = np.where(there[:, None], 100.0, truth)
    once, again = (cross_fit(rehearsed, each, rows, task, NEVER) for each in (truth, changed))
    assert once[there].tobytes() == again[there].tobytes()
    assert once[~there].tobytes() != again[~there].tobytes()


def test_nested_combiners_survive_save_and_load(field, task, tmp_path):
    forecasts, truth, rows = field
    layered = Layered().fit(forecasts, truth, rows, task, NEVER)
    persist.save(tmp_path / "art", {"combiner": layered}, {})
    again = persist.load(tmp_path / "art")[0]["combiner"]
    assert again.combine(forecasts, rows).tobytes() == layered.combine(forecasts, rows).tobytes()


def test_traits_are_needed_where_a_combiner_below_reads_them():
    assert Layered(over=("mean", "featured")).needs.traits
    assert not Layered(over=("mean", "simplex")).needs.traits
