"""The table tree learners read: one row for each pair of origin and horizon step, everything in units of a scale at the origin.

The horizon is a feature, so one model serves all steps ahead. All columns read the past of their own origin only, in the measured set of
Measured on M4 and tourism: a global model of scaled features beats one model a series as soon as the series are related.
"""

from dataclasses import dataclass

import numpy as np

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.features.contexts import gather, scale_at
from ensemble_forecast.features.seasons import seasons_of
from ensemble_forecast.features.stamps import calendar_at, calendar_fields

LAGS = 7
PHASES = 3  # values at the target's phase, for each season
SCALE_FLOOR = 0.2  # of the series' own scale: flat stretches would make features explode
PAST_COLUMNS = ("z", "change", "mean_3", "mean_7", "volatility")
BLOCK = 2048  # origins at a time: bounds memory, changes nothing else
COVARIATES = 16  # past covariates at a time, likewise: sets of features bring hundreds


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which columns a table has; decided once, on the panel a learner is fitted on, and kept with it.

    Parameters
    ----------
    unit
        Steps of the cycle that windows are multiples of: the season, or the horizon (at least 5) where the season is 1.
    seasons
        Seasons whose earlier phases are looked up.
    calendar, past, known, static
        Names of the calendar fields and of the covariates.
    """

    horizon: int
    season: int
    unit: int
    seasons: tuple[int, ...]
    calendar: tuple[str, ...]
    past: tuple[str, ...]
    known: tuple[str, ...]
    static: tuple[str, ...]

    @classmethod
    def of(cls, panel: Panel, task: Task) -> "Layout":
        """Decide on the columns for a panel and a task."""
        return cls(
            horizon=task.horizon,
            season=task.season_length,
            unit=task.season_length if task.season_length > 1 else max(task.horizon, 5),
            seasons=seasons_of(panel, task),
            calendar=calendar_fields(panel),
            past=panel.past_names,
            known=panel.known_names,
            static=panel.static_names,
        )

    @property
    def windows(self) -> tuple[int, ...]:
        """Lengths over which means and deviations are taken."""
        return tuple(sorted({3, max(self.unit // 2, 3), max(self.unit, 4), 2 * self.unit, 4 * self.unit, 7 * self.unit}))

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column, in order."""
        origin = [f"lag_{k}" for k in range(1, LAGS + 1)]
        origin += [f"{what}_{w}" for w in self.windows for what in ("mean", "std")]
        origin += ["mean_abs_change", "season_change", "slope", "log_scale_over_level", "log_scale_over_series"]
        origin += [f"since_{p}" for p in self.seasons]
        origin += [f"{name}_{what}" for name in self.past for what in PAST_COLUMNS] + list(self.static)
        step = ["h", *(f"h_mod_{p}" for p in self.seasons), "base"]
        step += [f"phase_{p}_{what}" for p in self.seasons for what in (*range(1, PHASES + 1), "before", "after", "mean")]
        step += [f"target_{field}" for field in self.calendar] + [f"{name}_{what}" for name in self.known for what in ("target", "change")]
        return tuple(origin + step)


def window_scale(panel: Panel, origins: Origins, layout: Layout) -> np.ndarray:
    """Mean absolute seasonal change over the last four units, at least a fifth of the whole series': float64 (N,), above zero."""
    series_N = scale_at(panel, origins, layout.season)
    window_NL = gather(panel.y_filled, panel, origins, 4 * layout.unit + layout.season)
    change_NL = np.abs(window_NL[:, layout.season :] - window_NL[:, : -layout.season])
    return np.maximum(_mean(change_NL, series_N), SCALE_FLOOR * series_N)


def table(
    panel: Panel, layout: Layout, origins: Origins, base_NH: np.ndarray, scale_N: np.ndarray, row_R: np.ndarray, ahead_R: np.ndarray
) -> np.ndarray:
    """Compute the features of (origin, horizon step) pairs.

    Parameters
    ----------
    base_NH
        The point forecast that is to be corrected: a feature, and what the values at the target's phase are compared with.
    scale_N
        Unit of the features, as from `window_scale`.
    row_R, ahead_R
        Position of each row's origin in ``origins``, and its steps ahead, 1 to H.

    Returns
    -------
    float32 (R, F), columns as in ``layout.names``; NaN where the history does not reach.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(origins), BLOCK)]
    origin_NF = np.concatenate([_origin_columns(panel, layout, origins.take(block), scale_N[block]) for block in blocks])
    base_R = base_NH[row_R, ahead_R - 1]
    return np.concatenate([origin_NF[row_R], _step_columns(panel, layout, origins.take(row_R), base_R, scale_N[row_R], ahead_R)], axis=1)


def _origin_columns(panel: Panel, layout: Layout, origins: Origins, scale_N: np.ndarray) -> np.ndarray:
    """Columns that all horizon steps of an origin share: float32 (N, F1)."""
    unit, windows = layout.unit, layout.windows
    past_NL = gather(panel.y_filled, panel, origins, max(windows[-1], LAGS + 1, *layout.seasons) + 1)
    last_N = past_NL[:, -1]
    past_NL = (past_NL - last_N[:, None]) / scale_N[:, None]
    columns = [past_NL[:, -1 - k] for k in range(1, LAGS + 1)]
    mean_of = {}
    for w in windows:
        mean_of[w] = _mean(past_NL[:, -w:], 0.0)
        columns += [mean_of[w], np.sqrt(_mean((past_NL[:, -w:] - mean_of[w][:, None]) ** 2, 0.0))]
    columns.append(_mean(np.abs(np.diff(past_NL[:, -2 * unit - 1 :])), 0.0))
    columns.append(mean_of[max(unit, 4)] - _mean(past_NL[:, -2 * max(unit, 4) : -max(unit, 4)], np.nan))
    columns.append(_slope(past_NL[:, -2 * unit :]))
    level_N = _mean(np.abs(past_NL[:, -4 * unit :] + (last_N / scale_N)[:, None]), 0.0)
    columns.append(-np.log(np.maximum(level_N, 1e-6)))
    columns.append(np.log(scale_N / scale_at(panel, origins, layout.season)))
    columns += [-past_NL[:, -1 - p] for p in layout.seasons]
    parts = [np.stack(columns, axis=1)]
    if layout.past:
        parts.append(_past_columns(panel, layout, origins))
    parts.append(panel.static[origins.series])
    return np.concatenate(parts, axis=1).astype(np.float32)


def _past_columns(panel: Panel, layout: Layout, origins: Origins) -> np.ndarray:
    """Past covariates at the origin, as deviations from their own recent mean: (N, 5 C)."""
    groups = [panel.past[:, first : first + COVARIATES] for first in range(0, len(layout.past), COVARIATES)]
    return np.concatenate([_group_columns(group, panel, layout, origins) for group in groups], axis=1)


def _group_columns(past: np.ndarray, panel: Panel, layout: Layout, origins: Origins) -> np.ndarray:
    """Compute the columns of some covariates, all of whose windows are in memory at a time."""
    value_NCL = np.moveaxis(gather(past, panel, origins, 4 * layout.unit), 2, 1)
    mean_NC = _mean(value_NCL, 0.0)
    spread_NC = np.sqrt(_mean((value_NCL - mean_NC[..., None]) ** 2, 0.0))
    spread_NC = np.where(spread_NC > 1e-9 * np.abs(mean_NC), spread_NC, 1.0)
    z_NCL = np.clip((value_NCL - mean_NC[..., None]) / spread_NC[..., None], -20, 20)
    recent_NC = _mean(z_NCL[..., -7:], np.nan)
    wobble_NC = np.sqrt(_mean((z_NCL[..., -7:] - recent_NC[..., None]) ** 2, np.nan))
    columns = [z_NCL[..., -1], z_NCL[..., -1] - z_NCL[..., -2], _mean(z_NCL[..., -3:], np.nan), recent_NC, wobble_NC]
    return np.stack(columns, axis=2).reshape(len(origins), -1)


def _step_columns(panel: Panel, layout: Layout, origins: Origins, base_R: np.ndarray, scale_R: np.ndarray, ahead_R: np.ndarray) -> np.ndarray:
    """Columns that differ by horizon step; ``origins`` has one entry a row: float32 (R, F2)."""
    last_R = panel.y_filled[origins.rows(panel)]
    columns = [ahead_R, *(ahead_R % p for p in layout.seasons), (base_R - last_R) / scale_R]
    for season in layout.seasons:
        back_R = season * -(-ahead_R // season) - ahead_R  # steps from the origin back to the target's phase
        phases = [_value_back(panel, origins, back_R + k * season) for k in range(PHASES)]
        before_R = _value_back(panel, origins, back_R + 1)
        after_R = _value_back(panel, origins, np.where(back_R >= 1, back_R, season) - 1)
        mean_R = _mean(np.stack(phases, axis=1), np.nan)
        columns += [(value - base_R) / scale_R for value in (*phases, before_R, after_R, mean_R)]
    parts = [np.stack(columns, axis=1), calendar_at(panel, origins.series, origins.step + ahead_R, layout.calendar)]
    if layout.known:
        target_RK, now_RK = _known(panel, origins, ahead_R), _known(panel, origins, np.zeros_like(ahead_R))
        parts.append(np.stack([target_RK, target_RK - now_RK], axis=2).reshape(len(ahead_R), -1))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _value_back(panel: Panel, origins: Origins, back_R: np.ndarray) -> np.ndarray:
    """Target so many steps before each origin; NaN before the start of the series."""
    step_R = origins.step - back_R
    return np.where(step_R >= 0, panel.y_filled[panel.offsets[origins.series] + np.maximum(step_R, 0)], np.nan)


def _known(panel: Panel, origins: Origins, ahead_R: np.ndarray) -> np.ndarray:
    """Known covariates at origin + ahead; NaN beyond the last row of the series."""
    row_R = origins.rows(panel) + ahead_R
    inside_R = row_R < panel.offsets[origins.series + 1]
    return np.where(inside_R[:, None], panel.known[np.where(inside_R, row_R, 0)], np.nan)


def _mean(values: np.ndarray, empty: float | np.ndarray) -> np.ndarray:
    """Mean of the finite values along the last axis, or ``empty`` where there is none."""
    finite = np.isfinite(values)
    count = finite.sum(axis=-1)
    return np.where(count > 0, np.where(finite, values, 0.0).sum(axis=-1) / np.maximum(count, 1), empty)


def _slope(values_NL: np.ndarray) -> np.ndarray:
    """Least-squares slope per step over the steps that exist; 0 for a single one."""
    finite_NL = np.isfinite(values_NL)
    time_NL = np.where(finite_NL, np.arange(values_NL.shape[1], dtype=float), np.nan)
    time_NL = np.where(finite_NL, time_NL - _mean(time_NL, 0.0)[:, None], 0.0)
    squares_N = (time_NL**2).sum(axis=1)
    return (time_NL * np.where(finite_NL, values_NL, 0.0)).sum(axis=1) / np.maximum(squares_N, 1.0)
