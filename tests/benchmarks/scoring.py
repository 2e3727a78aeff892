"""What the benchmarks share that score a forecast on a window held back."""

import numpy as np
import pandas as pd


def held_back(frame: pd.DataFrame, horizon: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split every series into its history and its last horizon."""
    from_end = frame.groupby("unique_id", sort=False).cumcount(ascending=False)
    return frame[from_end >= horizon].reset_index(drop=True), frame[from_end < horizon].reset_index(drop=True)


def scaled_quantile_loss(forecast: pd.DataFrame, truth: pd.DataFrame, history: pd.DataFrame, season: int) -> float:
    """Twice the mean pinball over the in-sample seasonal change, averaged over series."""
    both = truth.merge(forecast, on=["unique_id", "ds"], validate="1:1")
    levels = [f"{level / 10:g}" for level in range(1, 10)]
    error = both["y"].to_numpy()[:, None] - both[levels].to_numpy()
    q = np.arange(1, 10) / 10
    pinball = pd.Series(2 * np.maximum(q * error, (q - 1) * error).mean(axis=1)).groupby(both["unique_id"]).mean()
    scale = history.groupby("unique_id")["y"].apply(lambda y: np.abs(y.to_numpy()[season:] - y.to_numpy()[:-season]).mean())
    return float((pinball / scale[scale > 0]).dropna().mean())
