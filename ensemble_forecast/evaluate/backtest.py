"""What trading on the forecasts would have earned, net of costs.

Every origin opens a position for its horizon: long where the forecast lies above the last price by more than a band, short where it lies as far
below, none in between. What is held at a step is the mean over the origins whose horizon it belongs to, so that forecasts of several steps
are traded in tranches. The band is fitted on out-of-fold forecasts, for each cost by itself; it may be so wide that nothing is traded.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.evaluate.rates import wilson
from ensemble_forecast.evaluate.sharpe import sharpe, sharpe_interval
from ensemble_forecast.features.seasons import YEAR_S, step_seconds
from ensemble_forecast.metrics import median_of
from ensemble_forecast.seeds import generator

COSTS_BP = (0.0, 2.0, 5.0, 10.0, 20.0)  # fee and slippage of a trade of the whole capital, in basis points of it
BANDS = (0.0, 0.25, 0.5, 0.75, 0.9)  # shares of the out-of-fold forecasts that a band leaves out
POINTS = 240  # of an equity curve that are kept: as many as a screen can show


@dataclass(frozen=True, eq=False)
class Market:
    """Prices that were traded, from the first origin on: steps T = last origin - first origin + horizon.

    Parameters
    ----------
    return_ST
        Simple return of the step after each place, of the series that have origins; 0 where a price is missing or lies beyond the last label.
    series_N, place_N
        Row and column of each origin.
    """

    return_ST: np.ndarray
    series_N: np.ndarray
    place_N: np.ndarray
    horizon: int

    @classmethod
    def of(cls, panel: Panel, origins: Origins, judged_S: np.ndarray, horizon: int) -> "Market":
        """Lay out the prices after some origins; series are aligned by their steps from ``judged_S``."""
        names, series_N = np.unique(origins.series, return_inverse=True)
        time_N = origins.step - judged_S[origins.series]
        first = int(time_N.min())
        place_N = time_N - first
        width = int(place_N.max()) + horizon
        step_ST = (judged_S[names] + first)[:, None] + np.arange(width + 1)
        step_ST = np.clip(step_ST, 0, panel.ends_S[names][:, None])
        price_ST = panel.y_filled[panel.offsets[names][:, None] + step_ST]
        return cls(price_ST[:, 1:] / price_ST[:, :-1] - 1, series_N, place_N, horizon)

    def held(self, signal_N: np.ndarray) -> np.ndarray:
        """Turn a signal at each origin (1, 0 or -1) into what is held during each step: (S, T), between -1 and 1."""
        sum_ST, count_ST = np.zeros(self.return_ST.shape), np.zeros(self.return_ST.shape)
        for ahead in range(self.horizon):
            np.add.at(sum_ST, (self.series_N, self.place_N + ahead), signal_N)
            np.add.at(count_ST, (self.series_N, self.place_N + ahead), 1.0)
        return sum_ST / np.maximum(count_ST, 1.0)

    def traded(self, held_ST: np.ndarray) -> np.ndarray:
        """Capital that changes hands at each step, as a share: (S, T)."""
        return np.abs(np.diff(held_ST, axis=1, prepend=0.0))

    def earned(self, held_ST: np.ndarray, cost_bp: float) -> np.ndarray:
        """Net return of each step: (S, T)."""
        return held_ST * self.return_ST - cost_bp * 1e-4 * self.traded(held_ST)


def strength(forecast_NHQ: np.ndarray, last_N: np.ndarray, task: Task) -> np.ndarray:
    """How far a forecast leans at the end of its horizon: expected return of the median, or chance of the best class less that of the worst: (N,)."""
    if task.kind == "direction":
        lean_N: np.ndarray = forecast_NHQ[:, -1, -1] - forecast_NHQ[:, -1, 0]
    else:
        lean_N = median_of(forecast_NHQ, task.quantiles)[:, -1] / last_N - 1
    return np.nan_to_num(lean_N)


def signal(strength_N: np.ndarray, band: float) -> np.ndarray:
    """Direction of what is stronger than the band, else 0."""
    return np.where(np.abs(strength_N) > band, np.sign(strength_N), 0.0)


def fit_band(market: Market, strength_N: np.ndarray, cost_bp: float) -> float:
    """Choose the band with the largest net return out of fold; infinity where not to trade is the best."""
    bands = [float(np.quantile(np.abs(strength_N), share)) if share else 0.0 for share in BANDS]
    earned = [float(market.earned(market.held(signal(strength_N, band)), cost_bp).mean()) for band in bands]
    best = int(np.argmax(earned))
    return bands[best] if earned[best] > 0 else np.inf


def backtest(
    learned: tuple[Market, np.ndarray], tested: tuple[Market, np.ndarray], last_change_N: np.ndarray, task: Task, freq: str
) -> dict[str, Any]:
    """Trade on the test origins, at every cost, against holding, staying out, and repeating the last direction.

    Parameters
    ----------
    learned, tested
        Market and strengths of the forecasts: out of fold, and at the test origins.
    last_change_N
        Direction of the step that led to each test origin.
    freq
        Calendar of the panel, to tell ratios a year.

    Returns
    -------
    ``steps`` traded, those ``shown`` in equity curves, and a ``table``: at each ``cost_bp`` the account of ``forecast`` (with its ``band``; None: it
    does not trade), ``last_sign``, ``buy_and_hold`` and ``flat``.
    """
    market, strength_N = tested
    table = []
    for cost in COSTS_BP:
        band = fit_band(*learned, cost)
        rows = {
            "forecast": signal(strength_N, band),
            "last_sign": last_change_N,
            "buy_and_hold": np.ones(len(strength_N)),
            "flat": np.zeros(len(strength_N)),
        }
        accounts = {name: account(market, market.held(signal_N), cost, task, freq) for name, signal_N in rows.items()}
        accounts["forecast"]["band"] = band if np.isfinite(band) else None
        table.append({"cost_bp": cost, **accounts})
    steps = market.return_ST.shape[1]
    return {"steps": steps, "shown": shown(steps).tolist(), "table": table}


def shown(n_steps: int) -> np.ndarray:
    """Choose the steps at which an equity curve is kept: all of a short one, and always the first and the last."""
    return np.unique(np.linspace(0, n_steps - 1, min(n_steps, POINTS)).round().astype(int))


def account(market: Market, held_ST: np.ndarray, cost_bp: float, task: Task, freq: str) -> dict[str, Any]:
    """Tell what holding something came to, series weighted alike.

    A trade lasts as long as the sign of what is held; its win counts the costs of its own steps. Returns are simple ones, the capital is
    rebalanced every step.

    Returns
    -------
    net return, Sharpe ratio a year with its 95 % bootstrap interval, largest drawdown, turnover a step, trades, share of wins with interval, and the
    equity curve: what a capital of 1 has become after each step `shown`.
    """
    earned_ST = market.earned(held_ST, cost_bp)
    earned_T = earned_ST.mean(axis=0)
    capital_T = np.cumprod(1 + earned_T)
    peak_T = np.maximum.accumulate(np.concatenate([[1.0], capital_T]))[1:]
    won = np.concatenate([_trades(held, earned) for held, earned in zip(held_ST, earned_ST, strict=True)]) > 0
    year = np.sqrt(YEAR_S / step_seconds(freq)[0])
    interval = sharpe_interval(earned_T, task.horizon, generator(task.seed, "sharpe", cost_bp))
    return {
        "net_return": float(capital_T[-1] - 1),
        "sharpe": float(year * sharpe(earned_T)),
        "sharpe_interval": None if interval is None else [float(year * edge) for edge in interval],
        "drawdown": float((1 - capital_T / peak_T).max()),
        "turnover": float(market.traded(held_ST).mean()),
        "trades": len(won),
        "win_rate": float(won.mean()) if len(won) else None,
        "win_interval": wilson(float(won.mean()), len(won)) if len(won) else None,
        "equity": capital_T[shown(len(capital_T))].tolist(),
    }


def _trades(held_T: np.ndarray, earned_T: np.ndarray) -> np.ndarray:
    """Net return of each stretch in which what is held keeps its sign."""
    sign_T = np.sign(held_T)
    starts = np.flatnonzero(np.diff(sign_T, prepend=np.nan) != 0)
    sums: np.ndarray = np.add.reduceat(earned_T, starts)
    return sums[sign_T[starts] != 0]
