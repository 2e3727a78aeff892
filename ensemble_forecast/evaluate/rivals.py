"""The naive forecasters that skill is measured against: none of them knows more than a glance at the past would tell."""

from dataclasses import replace

import numpy as np

from ensemble_forecast.data.origins import Origins, outcome, truth
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.forecasts import normalise, residual_quantiles
from ensemble_forecast.learners.base import fit_plain

NAMES = {
    "naive": "repeating the last value",
    "seasonal_naive": "repeating the last season",
    "mean_change": "the average change so far",
    "mean_level": "the average level so far",
    "last_sign": "repeating the last direction",
    "base_rate": "always giving the share of rises so far",
    "base_rates": "always giving the shares of the outcomes so far",
    "even_odds": "even odds for every outcome",
    "coin": "a fair coin",
}


def rivals(panel: Panel, task: Task, cutoff_S: np.ndarray, origins: Origins) -> dict[str, np.ndarray]:
    """Forecast as every naive rival does.

    For quantiles: the last value (for prices, a return of zero), the last season where there is one, the distribution of all changes so far
    (the mean return) and of all levels so far, and the last direction at its average size. For kind ``direction``: the share of rises so far, a fair
    coin, and how often the last direction held; for barriers the shares so far, and even odds.

    Parameters
    ----------
    cutoff_S
        Last step that a rival may learn from, per series; what it then repeats is read at the origin.

    Returns
    -------
    float64 (N, H, Q) by name: keys of ``NAMES``.
    """
    naive_NHQ = fit_plain("naive", panel, task, cutoff_S).predict(panel, origins, Deadline.never())
    if task.kind == "direction":
        coin_NHQ = np.full(naive_NHQ.shape, 1 / task.n_outputs)
        if task.label == "barrier":
            return {"base_rates": naive_NHQ, "even_odds": coin_NHQ}
        return {"base_rate": naive_NHQ, "coin": coin_NHQ, "last_sign": _last_direction(panel, task, cutoff_S, origins)}
    found = {"naive": naive_NHQ}
    if task.season_length > 1:
        found["seasonal_naive"] = fit_plain("seasonal_naive", panel, task, cutoff_S).predict(panel, origins, Deadline.never())
    shift_N = last_change(panel, origins) * scale_at(panel, origins, 1)
    found["last_sign"] = naive_NHQ + shift_N[:, None, None]
    found["mean_change"] = _past_changes(panel, task, cutoff_S, origins)
    found["mean_level"] = np.repeat(_past_levels(panel, task, cutoff_S)[origins.series, None], task.horizon, axis=1)
    return found


def last_change(panel: Panel, origins: Origins) -> np.ndarray:
    """Direction of the step that led to each origin: 1, -1, or 0 where there is none."""
    row_N = origins.rows(panel)
    before_N = np.where(origins.step > 0, panel.y_filled[np.maximum(row_N - 1, 0)], panel.y_filled[row_N])
    direction_N: np.ndarray = np.sign(panel.y_filled[row_N] - before_N)
    return direction_N


def _learning(task: Task, cutoff_S: np.ndarray) -> Origins:
    """Origins of the newer half of what may be seen, with their whole horizon in it."""
    return Origins.between(np.maximum(cutoff_S // 2, 1), cutoff_S - task.horizon)


def _past_changes(panel: Panel, task: Task, cutoff_S: np.ndarray, origins: Origins) -> np.ndarray:
    """Quantiles of all changes so far, in units of the mean change of a series: relative ones where the panel never falls to zero.

    On a random walk nothing can be better. The naive's own quantiles follow the newest volatility, which costs it a little where that says
    nothing; without this rival that little would pass for skill.
    """
    relative = bool(np.nanmin(panel.y, initial=np.inf) > 0)
    seen = replace(panel, y=np.log(panel.y)) if relative else panel
    learned = _learning(task, cutoff_S)
    change_NH = truth(seen, learned, task.horizon) - seen.y_filled[learned.rows(seen)][:, None]
    table_HQ = residual_quantiles(change_NH / scale_at(seen, learned, 1)[:, None], task.quantiles)
    forecast_NHQ = seen.y_filled[origins.rows(seen)][:, None, None] + scale_at(seen, origins, 1)[:, None, None] * table_HQ
    return np.exp(forecast_NHQ) if relative else forecast_NHQ


def _past_levels(panel: Panel, task: Task, cutoff_S: np.ndarray) -> np.ndarray:
    """Quantiles of the values of each series up to the cutoff: (S, Q); NaN where it has none."""
    level_SQ = np.full((panel.n_series, task.n_outputs), np.nan)
    for series, cutoff in enumerate(cutoff_S):
        values = panel.values(series)[: max(int(cutoff) + 1, 0)]
        if np.isfinite(values).any():
            level_SQ[series] = np.nanquantile(values, task.quantiles)
    return level_SQ


def _last_direction(panel: Panel, task: Task, cutoff_S: np.ndarray, origins: Origins) -> np.ndarray:
    """Probabilities from how often the last direction held, at each horizon step; one hit and one miss are added."""
    learned = _learning(task, cutoff_S)
    label_NH = outcome(panel, learned, task)
    rose_N = last_change(panel, learned) > 0
    held_NH = np.where(np.isfinite(label_NH), label_NH == rose_N[:, None], np.nan)
    holds_H = (np.nansum(held_NH, axis=0) + 1) / (np.isfinite(held_NH).sum(axis=0) + 2)
    up_NH = np.where((last_change(panel, origins) > 0)[:, None], holds_H, 1 - holds_H)
    return normalise(np.stack([1 - up_NH, up_NH], axis=-1))
