"""Data that travel with the package."""

from pathlib import Path

import pandas as pd


def btc_usd_daily() -> pd.DataFrame:
    """Read the bundled daily BTC/USD candles, 2022-01-01 to 2025-04-11: see ``btc_usd_daily.md`` beside the file for what they are.

    Returns
    -------
    DataFrame with a DatetimeIndex ``date`` and the columns open, high, low, close (USD) and volume (millions of USD).
    """
    frame = pd.read_csv(Path(__file__).with_name("btc_usd_daily.csv"), index_col="date")
    frame.index = pd.to_datetime(frame.index, format="%Y-%m-%d")
    return frame
