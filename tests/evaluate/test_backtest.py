import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.evaluate.backtest import COSTS_BP, Market, account, backtest, fit_band, shown, signal, strength


def prices(seed=0, n=400, spread=0.02):
    return np.exp(np.cumsum(np.random.default_rng(seed).normal(0, spread, n)))


def market_of(values, first, horizon):
    panel = Panel.of([values])
    origins = Origins(np.zeros(len(values) - first - horizon, int), np.arange(first, len(values) - horizon))
    return panel, origins, Market.of(panel, origins, np.array([first]), horizon)


def slow_account(values, first, signal_N, horizon, cost_bp):
    """Trade step by step with a list of open tranches."""
    capital, held, path = 1.0, 0.0, [1.0]
    for t in range(first, len(values) - 1):
        tranches = [signal_N[o] for o in range(max(0, t - first - horizon + 1), t - first + 1) if o < len(signal_N)]
        wanted = np.mean(tranches)
        capital *= 1 + wanted * (values[t + 1] / values[t] - 1) - cost_bp * 1e-4 * abs(wanted - held)
        held = wanted
        path.append(capital)
    drawdown = max(1 - path[i] / max(path[: i + 1]) for i in range(len(path)))
    return capital - 1, drawdown, path[1:]


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("cost", [0.0, 10.0])
def test_an_account_is_what_trading_step_by_step_comes_to(horizon, cost):
    values, first = prices(), 250
    _, origins, market = market_of(values, first, horizon)
    signal_N = np.random.default_rng(1).integers(-1, 2, len(origins)).astype(float)
    told = account(market, market.held(signal_N), cost, Task(horizon=horizon), "D")
    net, drawdown, path = slow_account(values, first, signal_N, horizon, cost)
    assert told["net_return"] == pytest.approx(net)
    assert told["drawdown"] == pytest.approx(drawdown)
    np.testing.assert_allclose(told["equity"], np.array(path)[shown(len(path))])


@pytest.mark.parametrize("n_steps", [1, 2, 239, 240, 241, 5000])
def test_an_equity_curve_is_thinned_evenly_and_keeps_its_ends(n_steps):
    steps = shown(n_steps)
    assert (steps[0], steps[-1], len(steps)) == (0, n_steps - 1, min(n_steps, 240))
    assert set(np.diff(steps)) <= {max(1, n_steps // 240), n_steps // 240 + 1}


def test_a_return_belongs_to_the_step_after_the_origin():
    """Who knows only what has happened earns nothing; who knows the next step earns its size every day."""
    values = prices(2)
    _, origins, market = market_of(values, 100, 1)
    known = np.sign(np.diff(values))[origins.step - 1]
    seer = np.sign(np.diff(values))[origins.step]
    task = Task(horizon=1)
    assert abs(account(market, market.held(known), 0, task, "D")["sharpe"]) < 3
    told = account(market, market.held(seer), 0, task, "D")
    assert told["win_rate"] == 1
    assert told["drawdown"] == 0
    assert told["net_return"] == pytest.approx(np.prod(1 + np.abs(values[101:] / values[100:-1] - 1)) - 1)


def test_buy_and_hold_earns_the_change_of_the_price_and_staying_out_nothing():
    values = prices(3)
    _, origins, market = market_of(values, 100, 5)
    held = account(market, market.held(np.ones(len(origins))), 0, Task(horizon=5), "D")
    assert held["net_return"] == pytest.approx(values[-1] / values[100] - 1)
    assert (held["trades"], held["turnover"]) == (1, pytest.approx(1 / market.return_ST.shape[1]))
    flat = account(market, market.held(np.zeros(len(origins))), 20, Task(horizon=5), "D")
    assert (flat["net_return"], flat["sharpe"], flat["trades"], flat["win_rate"]) == (0, 0, 0, None)


def test_a_trade_lasts_while_the_sign_is_kept():
    values = np.array([100.0, 110, 121, 110, 99, 108.9, 98.01])
    _, origins, market = market_of(values, 0, 1)
    told = account(market, market.held(np.array([1.0, 1, -1, 0, 0, 1])), 0, Task(horizon=1), "D")
    assert len(origins) == 6
    assert (told["trades"], told["win_rate"]) == (3, pytest.approx(2 / 3))
    assert told["turnover"] == pytest.approx((1 + 0 + 2 + 1 + 0 + 1) / 6)


def test_the_band_grows_with_the_cost_until_nothing_is_traded():
    """Strong forecasts are right, weak ones are noise: free trading takes what it can, dear trading the strong ones, dearer trading none."""
    rng = np.random.default_rng(4)
    values = prices(5, 2000, 0.01)
    _, origins, market = market_of(values, 0, 1)
    ahead = values[origins.step + 1] / values[origins.step] - 1
    strong = rng.random(len(origins)) < 0.3
    strength_N = np.where(strong, ahead, 0.001 * rng.normal(size=len(origins)))
    bands = [fit_band(market, strength_N, cost) for cost in (0.0, 20.0, 5000.0)]
    assert bands[0] <= bands[1] < bands[2] == np.inf
    assert bands[1] > np.median(np.abs(strength_N[~strong]))
    assert not signal(strength_N, np.inf).any()


def test_the_lean_of_a_forecast_is_its_expected_return_or_its_odds():
    task = Task(horizon=2, quantiles=(0.1, 0.5, 0.9))
    forecast = np.array([[[90, 100, 110], [95, 110, 130]], [[1, 2, 3], [np.nan] * 3]], dtype=float)
    np.testing.assert_allclose(strength(forecast, np.array([100.0, 2.0]), task), [0.1, 0.0])
    chances = np.array([[[0.5, 0.5], [0.3, 0.7]]])
    np.testing.assert_allclose(strength(chances, np.array([1.0]), Task(horizon=2, kind="direction")), [0.4])


def test_series_are_weighted_alike_and_aligned_in_time():
    one, two = prices(6, 60), prices(7, 80)
    panel = Panel.of([one, two])
    judged_S = np.array([29, 49])
    origins = Origins.between(judged_S, panel.ends_S - 1)
    market = Market.of(panel, origins, judged_S, 1)
    np.testing.assert_allclose(market.return_ST, [one[30:] / one[29:-1] - 1, two[50:] / two[49:-1] - 1])
    told = account(market, market.held(np.ones(len(origins))), 0, Task(horizon=1), "D")
    assert told["net_return"] == pytest.approx(np.prod(1 + market.return_ST.mean(axis=0)) - 1)


def test_the_whole_backtest_compares_with_three_rivals_at_every_cost():
    values = prices(8, 800)
    panel, learned, learned_market = market_of(values[:500], 300, 1)
    _, tested, market = market_of(values, 499, 1)
    rng, task = np.random.default_rng(9), Task(horizon=1)
    strengths = [0.01 * rng.normal(size=len(each)) for each in (learned, tested)]
    told = backtest((learned_market, strengths[0]), (market, strengths[1]), np.sign(rng.normal(size=len(tested))), task, "D")
    assert [row["cost_bp"] for row in told["table"]] == list(COSTS_BP)
    for row in told["table"]:
        assert set(row) == {"cost_bp", "forecast", "last_sign", "buy_and_hold", "flat"}
        assert row["forecast"]["band"] == (None if not row["forecast"]["trades"] else row["forecast"]["band"])
    turnovers = [row["forecast"]["turnover"] for row in told["table"]]
    assert turnovers[-1] == 0, "noise is not worth 20 basis points"
    nets = [row["last_sign"]["net_return"] for row in told["table"]]
    assert nets == sorted(nets, reverse=True)
    assert panel.n_series == 1
