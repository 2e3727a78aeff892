"""Training rows for tree learners: which origins and horizon steps, their features, their targets in scaled units, their weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import TooShort
from ensemble_forecast.features.contexts import MIN_STEPS, scale_at
from ensemble_forecast.features.seasons import base_forecast
from ensemble_forecast.features.tabular import Layout, table, window_scale
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.learners.base import Size
from ensemble_forecast.learners.residuals import sample
from ensemble_forecast.seeds import derive, generator
from ensemble_forecast.windows import MANY_SERIES

BASES = ("seasonal_naive", "last")
PREDICTED_ROWS = 50_000  # at a time: bounds memory, changes nothing else
STEPS_PER_ORIGIN = 10  # of the horizon, drawn anew for each origin: more repeat nearly the same features
LARGEST_TARGET = 30.0
FULL_WEIGHT = 15.0  # larger targets weigh less, so that a flat window before a jump does not own the loss
HELD_OUT = 0.2
FEW_HORIZONS = 10  # of labels in a typical series: with fewer, the shocks that all series share can be learnt by heart
LEAST_REHEARSED = 0.2  # of the origins must come before the newest horizon, or nothing is left to rehearse with
FEATURES_S = 4e-6  # seconds a row of features costs on a plain core


@dataclass(frozen=True, eq=False)
class Rows:
    """Features (R, F), targets and weights (R,) of (origin, horizon step) pairs; NaN targets are never trained on."""

    x_RF: np.ndarray
    target_R: np.ndarray
    weight_R: np.ndarray
    ahead_R: np.ndarray


@dataclass(frozen=True, eq=False)
class Grid:
    """All horizon steps of some origins, features as (N x H, F) rows, and what turns a correction into a forecast."""

    x_RF: np.ndarray
    base_NH: np.ndarray
    scale_N: np.ndarray
    served_N: np.ndarray  # origins with enough history, and with a base

    def restore(self, correction_NH: np.ndarray) -> np.ndarray:
        """Return base + correction in the target's unit."""
        return self.base_NH + self.scale_N[:, None] * correction_NH


def learnable(panel: Panel, origins: Origins, task: Task) -> bool:
    """Whether any origin has both enough history and a target."""
    return bool((np.isfinite(outcome(panel, origins, task)).any(axis=1) & (origins.step + 1 >= MIN_STEPS)).any())


def rows_of(size: Size, task: Task, at_most: int) -> float:
    """Count the rows that `training_rows` draws, about."""
    return min(size.n_fit * task.horizon, at_most)


def training_rows(panel: Panel, origins: Origins, task: Task, layout: Layout, base: str, at_most: int, stream: str) -> Rows:
    """Sample rows evenly over series and time, horizon steps at random.

    Raises
    ------
    TooShort
        When no origin has a target to learn from.
    """
    grid_size = min(task.horizon, STEPS_PER_ORIGIN)
    origins = sample(origins.take(origins.step + 1 >= MIN_STEPS), max(at_most // grid_size, 1), derive(task.seed, stream))
    per_origin = min(task.horizon, max(grid_size, at_most // max(len(origins), 1)))
    order_NH = generator(task.seed, stream, "steps").random((len(origins), task.horizon)).argsort(axis=1)
    row_R = np.repeat(np.arange(len(origins)), per_origin)
    ahead_R = np.sort(order_NH[:, :per_origin], axis=1).ravel() + 1
    base_NH, scale_N, target_NH = targets(panel, origins, task, layout, base)
    target_R = target_NH[row_R, ahead_R - 1]
    row_R, ahead_R = row_R[np.isfinite(target_R)], ahead_R[np.isfinite(target_R)]
    if not len(row_R):
        raise TooShort(
            f"tree learners need an origin with {MIN_STEPS} steps of history and a target after it; none of the {panel.n_series} series has one: "
            f"give more history or shorten the horizon ({task.horizon})"
        )
    target_R = target_NH[row_R, ahead_R - 1]
    weight_R = weigh(panel, origins.take(row_R), task, scale_N[row_R], target_R)
    return Rows(table(panel, layout, origins, base_NH, scale_N, row_R, ahead_R), target_R, weight_R, ahead_R)


def weigh(panel: Panel, origins: Origins, task: Task, scale_R: np.ndarray, target_R: np.ndarray) -> np.ndarray:
    """Weigh rows by what their scaled error counts in units of the series' own scale, 1 on average; labels all count the same: (R,)."""
    if task.kind == "direction":
        return np.ones(len(target_R))
    weight_R = np.clip(scale_R / scale_at(panel, origins, task.season_length), 0.2, 5.0)
    weight_R *= np.minimum(1.0, FULL_WEIGHT / np.maximum(np.abs(target_R), 1e-9))
    return weight_R / weight_R.mean()


def targets(panel: Panel, origins: Origins, task: Task, layout: Layout, base: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return base_NH, scale_N and the target (NH): the scaled correction to the base, or the label for kind ``direction``."""
    base_NH, scale_N = base_forecast(panel, origins, task, base), window_scale(panel, origins, layout)
    outcome_NH = outcome(panel, origins, task)
    if task.kind == "direction":
        return base_NH, scale_N, outcome_NH
    return base_NH, scale_N, np.clip((outcome_NH - base_NH) / scale_N[:, None], -LARGEST_TARGET, LARGEST_TARGET)


def full_grid(panel: Panel, origins: Origins, task: Task, layout: Layout, base: str) -> Grid:
    """Features of every horizon step of every origin, row n x H + h."""
    base_NH, scale_N = base_forecast(panel, origins, task, base), window_scale(panel, origins, layout)
    row_R = np.repeat(np.arange(len(origins)), task.horizon)
    ahead_R = np.tile(np.arange(1, task.horizon + 1), len(origins))
    served_N = (origins.step + 1 >= MIN_STEPS) & np.isfinite(base_NH).all(axis=1)
    return Grid(table(panel, layout, origins, base_NH, scale_N, row_R, ahead_R), base_NH, scale_N, served_N)


def forecast_grids(of_grid: Callable[[Grid], np.ndarray], panel: Panel, origins: Origins, task: Task, layout: Layout, base: str) -> np.ndarray:
    """Forecast in blocks of origins whose grids fit into memory: coherent (N, H, Q), NaN rows where an origin is not served.

    Parameters
    ----------
    of_grid
        Forecasts all origins of a grid: (N, H, Q).
    """
    forecast_NHQ = np.full((len(origins), task.horizon, task.n_outputs), np.nan)
    length = max(PREDICTED_ROWS // task.horizon, 1)
    for first in range(0, len(origins), length):
        block = slice(first, first + length)
        grid = full_grid(panel, origins.take(block), task, layout, base)
        forecast_NHQ[block] = np.where(grid.served_N[:, None, None], of_grid(grid), np.nan)
    return tidy(forecast_NHQ, task)


def hold_out(origins: Origins, task: Task) -> tuple[Origins, Origins]:
    """Split origins into (earlier or other series, held out), for honest residuals where there is no stop role.

    On a panel whole series are held out, on a few series the latest origins, with H origins purged between.
    """
    series = np.unique(origins.series)
    if len(series) >= MANY_SERIES:
        held = generator(task.seed, "trees", "held out").random(series.max() + 1) < HELD_OUT
        return origins.take(~held[origins.series]), origins.take(held[origins.series])
    edge = np.quantile(origins.step, 1 - HELD_OUT)
    return origins.take(origins.step < edge - task.horizon), origins.take(origins.step >= edge)


def rehearsal(fit: Origins, stop: Origins, task: Task) -> tuple[Origins, Origins] | None:
    """Split as if the newest horizon of every series were still to come: (earlier ones of ``fit``, newest of both); they share no target.

    None where the stop role is itself later in time, where the series are long enough to do without, or too short to spare a horizon.
    """
    n_series = len(np.unique(fit.series))
    if np.isin(stop.series, fit.series).any() or len(fit) >= FEW_HORIZONS * task.horizon * n_series:
        return None
    both = Origins.joined([fit, stop])
    last_S = np.full(both.series.max() + 1, -1)
    np.maximum.at(last_S, both.series, both.step)
    earlier = fit.take(fit.step < last_S[fit.series] - 2 * task.horizon + 2)
    newest = both.take(both.step > last_S[both.series] - task.horizon)
    return (earlier, newest) if len(earlier) >= LEAST_REHEARSED * len(fit) else None
