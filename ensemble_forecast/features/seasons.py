"""Seasons: the natural ones of a calendar, those a panel has history for, and the seasonal naive forecast. Reads backwards only."""

from functools import lru_cache

import numpy as np
import pandas as pd

from ensemble_forecast.data.calendars import Calendar
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task

DAY_S, WEEK_S, YEAR_S = 86_400.0, 604_800.0, 31_556_952.0
USUAL_SEASONS = {"h": 24, "D": 7, "B": 5, "MS": 12, "ME": 12, "BMS": 12, "BME": 12, "QS": 4, "QE": 4, "BQS": 4, "BQE": 4}
CYCLES_OF_HISTORY = 4  # a season nobody asked for must have come round so often in a typical series


def usual_season(freq: str) -> int:
    """Return the season that scales errors unless the user names another; 1 where there is no usual one.

    >>> usual_season("D"), usual_season("W-MON"), usual_season("MS"), usual_season("15min")
    (7, 1, 12, 1)
    >>> usual_season("2h"), usual_season("H"), usual_season("7D")
    (12, 24, 1)
    """
    calendar = Calendar.parse(freq)
    season, remainder = divmod(USUAL_SEASONS.get(calendar.unit, 1), calendar.count)
    return season if season and not remainder else 1


@lru_cache(maxsize=64)
def step_seconds(freq: str) -> tuple[float, bool]:
    """Return the mean length of a step in seconds, and whether all steps are equally long.

    >>> step_seconds("h"), step_seconds("B")[0] / DAY_S, step_seconds("MS")[1]
    ((3600.0, True), 1.4, False)
    """
    stamps = pd.date_range("2001-01-01", periods=26, freq=freq).to_numpy().astype("datetime64[s]").astype(np.int64)
    gaps = np.diff(stamps)
    return float(gaps.mean()), bool((gaps == gaps[0]).all())


def cycles(freq: str) -> dict[str, int]:
    """Return how many steps the day, the week and the year take, where that is at least two.

    >>> cycles("h"), cycles("W"), cycles("MS")
    ({'day': 24, 'week': 168, 'year': 8766}, {'year': 52}, {'year': 12})
    """
    seconds, _ = step_seconds(freq)
    steps = {name: round(cycle / seconds) for name, cycle in (("day", DAY_S), ("week", WEEK_S), ("year", YEAR_S))}
    return {name: n for name, n in steps.items() if n >= 2}


def has_history(panel: Panel, n_steps: int) -> bool:
    """Whether a cycle came round often enough in a typical series."""
    return n_steps * CYCLES_OF_HISTORY <= panel.typical_length


def seasons_of(panel: Panel, task: Task) -> tuple[int, ...]:
    """Seasons worth looking back at: the task's own, and the natural ones with enough history; shortest first, never 1."""
    natural = [n for n in cycles(panel.freq).values() if has_history(panel, n)]
    return tuple(sorted({n for n in (task.season_length, *natural) if n > 1}))


def seasonal_naive(panel: Panel, origins: Origins, horizon: int, season: int) -> np.ndarray:
    """Repeat the last season; the last value where the history is shorter than one. Season 1 is the naive forecast.

    Returns
    -------
    float64 (N, H), in the target's unit.
    """
    ahead_H = np.arange(1, horizon + 1)
    step_NH = origins.step[:, None] + ahead_H - season * -(-ahead_H // season)
    step_NH = np.where(origins.step[:, None] + 1 >= season, step_NH, origins.step[:, None])
    return panel.y_filled[panel.offsets[origins.series, None] + step_NH]


def base_forecast(panel: Panel, origins: Origins, task: Task, base: str) -> np.ndarray:
    """Return what a learner corrects: the base it was handed, else its own ("seasonal_naive" or "last"); float64 NH."""
    if origins.base_NH is not None:
        return origins.base_NH
    return seasonal_naive(panel, origins, task.horizon, task.season_length if base == "seasonal_naive" else 1)
