"""Calendar of the target steps: hour, weekday and month, where the frequency gives them a meaning and the data show them often enough."""

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.seasons import DAY_S, YEAR_S, cycles, has_history, step_seconds

CYCLE_OF_FIELD = {"hour": "day", "weekday": "week", "month": "year"}


def calendar_fields(panel: Panel) -> tuple[str, ...]:
    """Name the calendar fields that can tell something: their cycle takes two steps or more and came round four times."""
    steps = cycles(panel.freq)
    return tuple(field for field, cycle in CYCLE_OF_FIELD.items() if cycle in steps and has_history(panel, steps[cycle]))


def calendar_at(panel: Panel, series_R: np.ndarray, step_R: np.ndarray, fields: tuple[str, ...]) -> np.ndarray:
    """Read calendar fields at (series, step) pairs, which may lie beyond the data.

    Returns
    -------
    float64 (R, number of fields): hour 0 to 23, weekday 0 (Monday) to 6, month 1 to 12.
    """
    stamp_R = stamps_at(panel, series_R, step_R)
    reader = {
        "hour": lambda stamp: stamp.astype(np.int64) // 3600 % 24,
        "weekday": lambda stamp: (stamp.astype("datetime64[D]").astype(np.int64) + 3) % 7,
        "month": lambda stamp: stamp.astype("datetime64[M]").astype(np.int64) % 12 + 1,
    }
    columns = [reader[field](stamp_R).astype(float) for field in fields]
    return np.stack(columns, axis=1) if columns else np.empty((len(step_R), 0))


def stamps_at(panel: Panel, series_R: np.ndarray, step_R: np.ndarray) -> np.ndarray:
    """Stamps of (series, step) pairs as datetime64[s], by arithmetic where the steps are regular; of months, quarters and years the month only."""
    seconds, equal = step_seconds(panel.freq)
    start_R = panel.start_S[series_R].astype("datetime64[s]")
    if equal:
        return start_R + (step_R * int(seconds)).astype("timedelta64[s]")
    months = round(seconds / (YEAR_S / 12))
    if seconds > 27 * DAY_S:
        return (start_R.astype("datetime64[M]") + (step_R * months).astype("timedelta64[M]")).astype("datetime64[s]")
    return panel.stamps_at(series_R, step_R).astype("datetime64[s]")  # business days and their like
