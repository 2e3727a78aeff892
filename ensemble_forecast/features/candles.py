"""Covariates from candles: how wide, how directed, how busy each step was, free of the price level."""

from dataclasses import replace

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput

PRICES = ("open", "high", "low")


def candle_covariates(panel: Panel) -> Panel:
    """Replace the raw prices and volume of candles by ``log_range``, ``log_body`` and ``log_volume``.

    ``log_range = log(high / low)``, ``log_body = log(close / open)`` and ``log_volume = log(1 + volume)``, each from its own step only. The close
    is the past covariate of that name, or else the target; where it is missing the body is zero. Names are matched without regard to case,
    other covariates stay.

    Returns
    -------
    The panel itself when it has no open, high and low among its past covariates.

    Raises
    ------
    BadInput
        When a price is not above zero or a volume is negative; the message names series and step.
    """
    column = candle_columns(panel)
    if column is None:
        return panel
    body = np.log(column["close"]) - np.log(column["open"])
    made = {
        "log_range": np.log(column["high"]) - np.log(column["low"]),
        "log_body": np.where(np.isnan(column["close"]) & ~np.isnan(column["open"]), 0.0, body),
    }
    if "volume" in column:
        made["log_volume"] = np.log1p(column["volume"])
    kept = [j for j, name in enumerate(panel.past_names) if name.lower() not in column]
    return replace(
        panel,
        past=np.column_stack([panel.past[:, kept], *made.values()]),
        past_names=(*(panel.past_names[j] for j in kept), *made),
    )


def candle_columns(panel: Panel) -> dict[str, np.ndarray] | None:
    """Find open, high, low, close and, where there is one, volume in a panel: float64, one entry a row; None where it holds no candles.

    Names are matched without regard to case; the close is the past covariate of that name, or else the target.

    Raises
    ------
    BadInput
        When a price is not above zero or a volume is negative; the message names series and step.
    """
    place = {name.lower(): j for j, name in enumerate(panel.past_names)}
    if not all(name in place for name in PRICES):
        return None
    column = {name: panel.past[:, place[name]] for name in (*PRICES, "close", "volume") if name in place}
    column.setdefault("close", panel.y)
    for name in (*PRICES, "close"):
        _refuse(panel, column[name] <= 0, column[name], f"price {name!r} must be above zero")
    if "volume" in column:
        _refuse(panel, column["volume"] < 0, column["volume"], "volume must not be negative")
    return column


def _refuse(panel: Panel, wrong: np.ndarray, values: np.ndarray, rule: str) -> None:
    """Raise for the first row that breaks a rule."""
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    series, step = panel.place(row)
    day = panel.stamps(series, step, 1)[0]
    raise BadInput(
        f"series {panel.ids[series]!r}, step {step} ({day}): {rule}; got {values[row]:g}; "
        "correct the row, or leave 'candles' and the sets that read candles out of features"
    )
