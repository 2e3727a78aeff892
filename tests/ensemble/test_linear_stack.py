import numpy as np

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.linear_stack import LinearStack

NEVER = Deadline.never()


def test_least_squares_weights_solve_the_penalised_problem(seeded, task):
    """Against a grid, on what the module says it minimises: squares of errors, plus a pull to equal weights."""
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
