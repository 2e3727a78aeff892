"""Feature sets that look ahead, a way each; and honest ones beside them."""

import numpy as np
import pandas as pd
from candles import appended

from ensemble_forecast.features.market.on_candles import on_candles


def _close(panel):
    return pd.Series(panel.y)


def centred_window(panel):
    return appended(panel, "smooth", np.log(_close(panel) / _close(panel).rolling(5, center=True, min_periods=1).mean()))


def full_sample_scaler(panel):
    return appended(panel, "standardised", (panel.y - np.nanmean(panel.y)) / np.nanstd(panel.y))


def future_filled_gap(panel):
    return appended(panel, "filled", _close(panel).bfill())


def interpolated_gap(panel):
    return appended(panel, "interpolated", _close(panel).interpolate())


def shift_off_by_one(panel):
    return appended(panel, "target", np.log(_close(panel).shift(-1) / _close(panel)))


def resampled_bar(panel):
    week = np.arange(len(panel.y)) // 7
    return appended(panel, "week_close", _close(panel).groupby(week).transform("last") / _close(panel))


def backward_filter(panel):
    return appended(panel, "two_ways", _close(panel)[::-1].ewm(span=5).mean()[::-1] / _close(panel))


def rank_in_everything(panel):
    return appended(panel, "rank", _close(panel).rank(pct=True))


def detrended(panel):
    row = np.arange(len(panel.y))
    known = np.isfinite(panel.y)
    line = np.polyfit(row[known], panel.y[known], 1) if known.sum() > 2 else np.zeros(2)
    return appended(panel, "detrended", panel.y - np.polyval(line, row))


def share_of_the_way(panel):
    return appended(panel, "way", np.arange(len(panel.y)) / len(panel.y))


def pivots_before_they_are_confirmed(panel):
    high = pd.Series(panel.past[:, 1])
    return appended(panel, "pivot", (high == high.rolling(7, center=True).max()).astype(float))


def spectrum_of_everything(panel):
    y = np.nan_to_num(panel.y)
    smooth = np.fft.rfft(y)
    smooth[max(len(smooth) // 4, 1) :] = 0
    return appended(panel, "lowpass", y - np.fft.irfft(smooth, len(y)) if len(y) > 1 else y)


def winsorised(panel):
    change = _close(panel).pct_change(fill_method=None)
    return appended(panel, "clipped", change.clip(change.quantile(0.05), change.quantile(0.95)))


def far_ahead(panel):
    return appended(panel, "far", _close(panel).shift(-600) / _close(panel))


LEAKS = {
    name: value.__name__
    for name, value in list(globals().items())
    if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == __name__
}


def honest(panel):
    return appended(panel, "fine", np.log(_close(panel) / _close(panel).ffill().rolling(5, min_periods=1).mean()))


def honest_mean_so_far(panel):
    return appended(panel, "so_far", _close(panel) / _close(panel).expanding().mean())


@on_candles
def peeking(candles):
    return {"fine": candles.log_close(), "ahead": np.append(candles.returns(1)[1:], 0.0)}
