"""Print how long it takes to read data: a BTC frame as at every `predict` (wanted: below 8 ms), and a panel of 400 series (below 1.5 s)."""

import statistics
import time

import numpy as np
import pandas as pd

from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.samples import btc_usd_daily


def clock(frame: pd.DataFrame, columns: Columns) -> float:
    """Return the median milliseconds of seven readings."""
    milliseconds = []
    for _ in range(7):
        begun = time.perf_counter()
        to_panel(frame, columns, new=True)
        milliseconds.append(1000 * (time.perf_counter() - begun))
    return statistics.median(milliseconds)


def main() -> None:
    """Read both."""
    n_series, size = 400, 1000
    stamps = np.tile(pd.date_range("2000-01-02", periods=size, freq="W-SUN").to_numpy(), n_series)
    values = np.random.default_rng(0).normal(size=n_series * size)
    panel = pd.DataFrame({"unique_id": np.repeat([f"W{i}" for i in range(n_series)], size), "ds": stamps, "y": values})
    print(f"1197 candles: {clock(btc_usd_daily(), Columns()):.1f} ms")
    print(f"{n_series} series of {size} steps: {clock(panel, Columns(freq='W', gaps='fill')):.0f} ms")


if __name__ == "__main__":
    main()
