"""The time of a step, as points on circles, and how long the series has run."""

import numpy as np

from ensemble_forecast.features.market.candles import Candles, Columns
from ensemble_forecast.features.market.on_candles import on_candles

DAY_S = 86_400
WEEK_BEGINS = 4 * DAY_S  # 1970-01-05 was the first Monday
YEAR_S = 365.2425 * DAY_S
SESSIONS = {"asia": (0, 8), "europe": (7, 16), "america": (13, 22)}  # hours UTC in which these markets are awake


@on_candles
def clock(candles: Candles) -> Columns:
    """Hour, hour of the week, day of the month, season of the year and a four-year cycle as sine and cosine, sessions, weekend, running index."""
    second = candles.stamp.astype("datetime64[s]").astype(np.int64)
    day = candles.stamp.astype("datetime64[D]")
    month = candles.stamp.astype("datetime64[M]")
    day_of_month = (day - month.astype("datetime64[D]")).astype(np.int64)
    days_in_month = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
    hour = second // 3600 % 24
    weekday = (second - WEEK_BEGINS) // DAY_S % 7
    turns = {
        "hour": second / DAY_S % 1,
        "half_day": 2 * second / DAY_S % 1,
        "week": (second - WEEK_BEGINS) / (7 * DAY_S) % 1,
        "month": day_of_month / days_in_month,
        "quarter": 4 * second / YEAR_S % 1,
        "year": second / YEAR_S % 1,
        "four_years": second / (4 * YEAR_S) % 1,
    }
    columns = {f"{name}_sine": np.sin(2 * np.pi * turn) for name, turn in turns.items()}
    columns |= {f"{name}_cosine": np.cos(2 * np.pi * turn) for name, turn in turns.items()}
    columns |= {f"is_{name}": ((begin <= hour) & (hour < end)).astype(float) for name, (begin, end) in SESSIONS.items()}
    return columns | {
        "is_weekend": (weekday >= 5).astype(float),
        "is_month_end": (day_of_month >= days_in_month - 3).astype(float),
        "weekday": (weekday - 3.0) / 3,
        "index": np.log1p(candles.step),
    }
