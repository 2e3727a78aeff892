"""What the benchmarks share that score a forecast on a window held back."""

from pathlib import Path

import numpy as np
import pandas as pd

from ensemble_forecast.data.files import read_table


def read(path: Path) -> pd.DataFrame:
    """Read a panel, or candles as one series of their logarithmic close: unique_id, ds and y."""
    frame = read_table(path)
    if "y" not in frame:
        frame = frame.assign(unique_id="one", ds=frame["timestamp"], y=np.log(frame["close"]))
    return frame[["unique_id", "ds", "y"]]


def held_back(frame: pd.DataFrame, horizon: int, windows: int = 1) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Split every series at the beginnings of its last windows, oldest first: the history before each, and the horizon after it."""
    from_end = frame.groupby("unique_id", sort=False).cumcount(ascending=False)
    ends = [horizon * window for window in reversed(range(windows))]
    return [
        (frame[from_end >= end + horizon].reset_index(drop=True), frame[(from_end >= end) & (from_end < end + horizon)].reset_index(drop=True))
        for end in ends
    ]


def scaled_quantile_loss(forecast: pd.DataFrame, truth: pd.DataFrame, history: pd.DataFrame, season: int) -> float:
    """Twice the mean pinball over the in-sample seasonal change, averaged over series."""
    both = truth.merge(forecast, on=["unique_id", "ds"], validate="1:1")
    levels = [f"{level / 10:g}" for level in range(1, 10)]
    error = both["y"].to_numpy()[:, None] - both[levels].to_numpy()
    q = np.arange(1, 10) / 10
    pinball = pd.Series(2 * np.maximum(q * error, (q - 1) * error).mean(axis=1)).groupby(both["unique_id"]).mean()
    scale = history.groupby("unique_id")["y"].apply(lambda y: np.abs(y.to_numpy()[season:] - y.to_numpy()[:-season]).mean())
    return float((pinball / scale[scale > 0]).dropna().mean())
