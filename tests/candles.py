"""Panels of candles for the tests of their features."""

from dataclasses import replace

import numpy as np

from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.features.market.on_candles import on_candles
from ensemble_forecast.features.market.rolling import mean
from ensemble_forecast.registry import FEATURES

NAMES = ("open", "high", "low", "volume")
SETS = [name for name in FEATURES if name != "candles"]


def daily():
    """The bundled candles."""
    return to_panel(btc_usd_daily(), Columns())


def walk(rows=700, seed=0, **changes):
    """Candles around a random walk by the hour; ``changes`` replace columns."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_t(4, rows)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(0.002 * rng.normal(size=rows))
    high = np.maximum(opened, close) * np.exp(0.004 * rng.random(rows))
    low = np.minimum(opened, close) * np.exp(-0.004 * rng.random(rows))
    return candle_panel({"open": opened, "high": high, "low": low, "close": close, "volume": rng.lognormal(3, 1, rows)} | changes)


def candle_panel(column):
    """A panel of one series from columns; without a volume where there is none."""
    names = tuple(name for name in NAMES if name in column)
    panel = Panel.of([column["close"]], freq="h", past=[np.column_stack([column[name] for name in names])])
    return replace(panel, past_names=names)


@on_candles
def range_only(candles):
    """Tell the range: a set as users write theirs."""
    return {"range": candles.log_high() - candles.log_low()}


@on_candles
def far_back(candles):
    return {"mean": mean(candles.returns(1), 700)}


@on_candles
def rank_in_window(candles):
    return {"mean": mean(candles.rank(candles.returns(1), 20), 20)}


def appended(panel, name, values):
    """The panel with a column more."""
    return replace(panel, past=np.column_stack([panel.past, values]), past_names=(*panel.past_names, name))


def forgetful(panel):
    return replace(panel, past_names=(*panel.past_names, "more"))


def own_target(panel):
    return replace(panel, y=panel.y * 2)


def overwriting(panel):
    return replace(panel, past=panel.past * 2)


def twice(panel):
    return appended(panel, "price_body", panel.y)
