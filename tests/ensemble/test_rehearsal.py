import numpy as np

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.rehearsal import NO_TIME, rehearse
from ensemble_forecast.ensemble.simplex import Simplex

NEVER = Deadline.never()


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
