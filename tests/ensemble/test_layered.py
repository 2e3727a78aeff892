import numpy as np
import pytest

from ensemble_forecast import persist
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean, Median
from ensemble_forecast.ensemble.layered import Layered, cross_fit, learn_shares
from ensemble_forecast.ensemble.linear_stack import LinearStack
from ensemble_forecast.ensemble.rehearsal import NO_TIME, rehearse
from ensemble_forecast.ensemble.simplex import Simplex

NEVER = Deadline.never()


@pytest.fixture
def field(seeded):
    rows = seeded.panel_rows(150, 3)
    forecasts, truth = seeded.draw(np.random.default_rng(0), rows, 4, np.array([0.4, 0.9, 0.9, 1.0]), 0.5)
    return forecasts.astype(np.float32), truth, rows


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


def test_a_rehearsal_is_what_a_loop_over_windows_gives(field, task):
    forecasts, truth, rows = field
    order = np.random.default_rng(1).permutation(len(rows))
    forecasts, truth, rows = forecasts[order], truth[order], rows.take(order)
    rehearsal = rehearse({"simplex": Simplex()}, forecasts, truth, rows, task, NEVER, None)
    for window in range(3):
        others, now = rows.window != window, rows.window == window
        fitted = Simplex().fit(forecasts[others], truth[others], rows.take(others), task, NEVER)
        played = rehearsal.forecasts["simplex"][now]
        assert played.tobytes() == fitted.combine(forecasts[now], rows.take(now)).tobytes()


def test_a_rehearsal_says_why_somebody_is_absent(field, task):
    forecasts, truth, rows = field
    from_registry = {"mean": Mean(), "simplex": Simplex()}
    late = rehearse(from_registry, forecasts, truth, rows, task, Deadline.after(0), 4, {"mean"})
    assert (list(late.forecasts), late.absent) == (["mean"], {"simplex": NO_TIME})


def test_least_squares_weights_solve_the_penalised_problem(seeded, task):
    """Against a long projected descent on what the module says it minimises: squares of errors, plus a pull to equal weights."""
    rng = np.random.default_rng(0)
    rows = seeded.panel_rows(200, 2)
    forecasts, truth = seeded.draw(rng, rows, 4, np.array([0.4, 0.8, 1.5]))
    fitted = LinearStack().fit(forecasts, truth, rows, task, NEVER)
    errors_KM = np.clip(forecasts - truth[:, :, None, None], -5, 5).reshape(-1, 3)
    typical = errors_KM.var(axis=1).mean()

    def cost(weights_M):
        return ((errors_KM @ weights_M) ** 2).mean() + fitted.penalty_ * typical * ((weights_M - 1 / 3) ** 2).sum()

    grid = np.linspace(0, 1, 101)
    best = min((cost(np.array([a, b, 1 - a - b])), a, b) for a in grid for b in grid if a + b <= 1)
    assert cost(fitted.weights_M_) <= best[0] * (1 + 1e-4)
    np.testing.assert_allclose(fitted.weights_M_[:2], best[1:], atol=0.02)
