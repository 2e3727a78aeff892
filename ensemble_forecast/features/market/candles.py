"""The candles of one series, without holes, and the figures that several feature sets read."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec
from weakref import WeakKeyDictionary

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.candles import candle_columns
from ensemble_forecast.features.market import rolling
from ensemble_forecast.features.market.recursions import adapt, smooth

P = ParamSpec("P")
Columns = dict[str, np.ndarray]
Prices = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]  # open, high, low, close, volume
Memory = list[tuple[np.ndarray, Any]]  # of each recursion, in the order of the calls: its outputs, and where it had got to
QUIET_LOG = 1e-6  # volatility below this, per step, counts as this: the logarithm of a constant price has to end somewhere

_READ: WeakKeyDictionary[Panel, list[tuple[int, "Candles"]]] = WeakKeyDictionary()  # all sets of a study read the same ones


def once(method: Callable[Concatenate["Candles", P], np.ndarray]) -> Callable[Concatenate["Candles", P], np.ndarray]:
    """Compute a figure once for each arguments."""

    @functools.wraps(method)
    def look_up(self: "Candles", *args: P.args, **kwargs: P.kwargs) -> np.ndarray:
        key = (method.__name__, *args)
        if key not in self.known:
            self.known[key] = method(self, *args, **kwargs)
        return self.known[key]

    return look_up


@dataclass(eq=False)
class Candles:
    """Candles of one series from its first close on; what was missing is a flat candle at the last close.

    Parameters
    ----------
    open, high, low, close
        float64 (T,), above zero.
    volume
        float64 (T,), or None where the data have none.
    stamp
        datetime64[s] (T,).
    step
        int64 (T,): steps since the first candle of the series.
    unit
        A power of two by which prices become whole numbers of 10 or 11 digits.
    before
        What the recursions had got to one candle earlier; None: they begin here. The arrays are then the last T rows of a longer history.
    """

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray | None
    stamp: np.ndarray
    step: np.ndarray
    unit: float
    before: Memory | None = None
    memory: Memory = field(default_factory=list)
    known: dict[tuple[Any, ...], np.ndarray] = field(default_factory=dict)

    def recur(self, recursion: Callable[..., tuple[np.ndarray, Any]], *inputs: np.ndarray) -> np.ndarray:
        """Run a recursion from the start, or one candle on: it is known by its place among all calls, so these must not depend on the data."""
        if self.before is None:
            out, state = recursion(None, *inputs)
        else:
            earlier, state = self.before[len(self.memory)]
            newest, state = recursion(state, *(x[-1:] for x in inputs))
            out = np.concatenate([earlier, newest])[-len(self.close) :]
        self.memory.append((out, state))
        return out

    def ema(self, x: np.ndarray, window: int) -> np.ndarray:
        """Exponential mean with weight 2 / (window + 1)."""
        return self.recur(functools.partial(smooth, weight=2 / (window + 1), warm_up=window), x)

    def wilder(self, x: np.ndarray, window: int) -> np.ndarray:
        """Exponential mean with weight 1 / window, as Wilder's indicators have it."""
        return self.recur(functools.partial(smooth, weight=1 / window, warm_up=window), x)

    def by_slices(self, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, window: int, block: int = 4096) -> np.ndarray:
        """Apply a function of windows (rows, window) -> (rows,) to the last rows at each row, some rows at a time to bound memory.

        For what needs its windows whole. Where recursions go on only the newest row is computed, so that the result may not be used in other windows.
        """
        out = np.full(len(x), np.nan)
        if len(x) < window:
            return out
        windows = np.lib.stride_tricks.sliding_window_view(x, window) if self.before is None else x[None, -window:]
        for first in range(0, len(windows), block):
            part = windows[first : first + block]
            begin = len(x) - len(windows) + first
            out[begin : begin + len(part)] = function(np.ascontiguousarray(part))
        out[: np.count_nonzero(np.isnan(x)) + window - 1] = np.nan  # x is NaN in its first rows and nowhere later
        return out

    def rank(self, x: np.ndarray, window: int) -> np.ndarray:
        """Share of the last rows that lie below the row, ties half: 0 to 1. Not for use in other windows; see `by_slices`."""

        def share(windows: np.ndarray) -> np.ndarray:
            below, equal = (np.count_nonzero(compare(windows, windows[:, -1:]), axis=1) for compare in (np.less, np.equal))
            return (below + 0.5 * (equal - 1)) / (window - 1)

        return self.by_slices(share, x, window)

    def traded(self) -> np.ndarray:
        """Volume, for sets that need one.

        Raises
        ------
        BadInput
            When the data have none.
        """
        if self.volume is None:
            raise BadInput("a feature set in use reads the volume, and the data have no past covariate 'volume': add it, or leave the set out")
        return self.volume

    @once
    def log_close(self) -> np.ndarray:
        """Logarithm of the close."""
        return np.log(self.close)

    @once
    def log_high(self) -> np.ndarray:
        """Logarithm of the high."""
        return np.log(self.high)

    @once
    def log_low(self) -> np.ndarray:
        """Logarithm of the low."""
        return np.log(self.low)

    @once
    def log_open(self) -> np.ndarray:
        """Logarithm of the open."""
        return np.log(self.open)

    @once
    def returns(self, steps: int = 1) -> np.ndarray:
        """Log return over some steps."""
        return self.log_close() - rolling.lag(self.log_close(), steps)

    @once
    def true_range(self) -> np.ndarray:
        """Log of the highest over the lowest price since the last close."""
        last = rolling.lag(self.log_close(), 1)
        return np.fmax(self.log_high(), last) - np.fmin(self.log_low(), last)

    @once
    def atr(self, window: int) -> np.ndarray:
        """Average true range (Wilder 1978), of logarithms: what distances are measured in."""
        return self.wilder(self.true_range(), window)

    @once
    def realised(self, window: int) -> np.ndarray:
        """Realised volatility per step: root mean square of the last returns."""
        return np.sqrt(rolling.mean(self.returns(1) ** 2, window))

    @once
    def average(self, window: int) -> np.ndarray:
        """Exponential mean of the log close."""
        return self.ema(self.log_close(), window)

    @once
    def efficiency(self, window: int) -> np.ndarray:
        """Kaufman's efficiency ratio: how far the price came over how far it went, 0 to 1."""
        path = rolling.total(np.abs(self.returns(1)), window)
        return np.minimum(rolling.ratio(np.abs(self.returns(window)), path), 1.0)

    @once
    def kama(self, window: int) -> np.ndarray:
        """Kaufman's adaptive mean of the log close, between exponential means of 2 and 30 steps (Trading Systems and Methods, 1998)."""
        fast, slow = 2 / 3, 2 / 31
        return self.recur(adapt, self.log_close(), (self.efficiency(window) * (fast - slow) + slow) ** 2)

    @once
    def rsi(self, window: int) -> np.ndarray:
        """Relative strength (Wilder 1978), -1 where all steps fell to 1 where all rose."""
        change = self.close - rolling.lag(self.close, 1)
        return rolling.ratio(self.wilder(change, window), self.wilder(np.abs(change), window))


def complete(prices: dict[str, np.ndarray]) -> Prices:
    """Fill holes from the past alone; the first close must be there. A high below the body, or a low above it, is moved to its edge."""
    close = _carried_on(prices["close"])
    opened = np.where(np.isnan(prices["open"]), np.concatenate([close[:1], close[:-1]]), prices["open"])
    high, low = np.fmax(prices["high"], np.maximum(opened, close)), np.fmin(prices["low"], np.minimum(opened, close))
    return opened, high, low, close, np.nan_to_num(_carried_on(prices["volume"])) if "volume" in prices else None


def _carried_on(values: np.ndarray) -> np.ndarray:
    """Put the last known value where one is missing."""
    filled: np.ndarray = values[np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))]
    return filled


def candles_of(panel: Panel) -> list[tuple[int, Candles]]:
    """Read the candles of every series that has a close, with the row of the panel at which they begin.

    Raises
    ------
    BadInput
        When the panel has no open, high and low among its past covariates, or a price is not above zero.
    """
    if panel not in _READ:
        column = candle_columns(panel)
        if column is None:
            raise BadInput(
                "feature sets of candles need past covariates open, high and low beside the close; "
                f"there are: {', '.join(panel.past_names) or 'none'}. Add them, or leave these sets out of features"
            )
        _READ[panel] = list(_read(panel, column))
    return _READ[panel]


def _read(panel: Panel, column: dict[str, np.ndarray]) -> Iterator[tuple[int, Candles]]:
    """Cut the columns into series."""
    for series in range(panel.n_series):
        first, last = int(panel.offsets[series]), int(panel.offsets[series] + panel.lengths_S[series])
        seen = np.flatnonzero(~np.isnan(column["close"][first:last]))
        if not len(seen):
            continue
        begin = first + int(seen[0])
        prices = complete({name: values[begin:last] for name, values in column.items()})
        step = np.arange(last - begin)
        stamp = panel.stamps_at(np.full(len(step), series), step + (begin - first)).astype("datetime64[s]")
        unit = 2.0 ** (36 - int(np.frexp(prices[3][0])[1]))
        yield begin, Candles(*prices, stamp=stamp, step=step, unit=unit)
