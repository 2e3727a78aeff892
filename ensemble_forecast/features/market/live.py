"""One new candle at a time: the same sets, on a short tail, with the recursions taken up where they were left."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.market.candles import Candles, Columns, Memory, candles_of, complete
from ensemble_forecast.features.market.on_candles import LARGEST, computed
from ensemble_forecast.features.sets import find_set

TAIL = 640  # rows: more than the longest chain of windows in any set reaches back (volatility_rank_500 over 24 returns)
FIELDS = ("open", "high", "low", "close")


class Live:
    """Features of a growing series, equal to those of the whole history computed anew.

    Parameters
    ----------
    names
        Feature sets written with `on_candles`, registered or by import string.
    panel
        History of one series.

    Raises
    ------
    BadInput
        When the panel holds no candles or several series, or a set is not made with `on_candles`.
    """

    def __init__(self, names: Sequence[str], panel: Panel) -> None:
        self._sets: list[Callable[[Candles], Columns]] = []
        for name in names:
            columns = getattr(find_set(name), "__wrapped__", None)
            if columns is None:
                raise BadInput(f"feature set {name!r} is not written for candles: decorate it with on_candles")
            self._sets.append(columns)
        series = candles_of(panel)
        if len(series) != 1:
            raise BadInput(f"live features go on from one series of candles; the panel holds {len(series)}: cut one out, or make one Live for each")
        candles = replace(series[0][1], memory=[], known={})
        whole = self._compute(candles)
        self._last = _tail_of(candles)
        if len(candles.close) > TAIL:
            self._refuse_short_tail(candles, whole)

    def _refuse_short_tail(self, candles: Candles, whole: dict[str, float]) -> None:
        """Take the last candle on once more, and refuse columns that come out another way."""
        kept = self._last
        first = {name: getattr(candles, name)[:-1] for name in (*FIELDS, "stamp", "step")}
        before = replace(candles, **first, volume=None if candles.volume is None else candles.volume[:-1], memory=[], known={})
        self._compute(before)
        self._last = _tail_of(before)
        volume = np.nan if candles.volume is None else candles.volume[-1]
        again = self.append(candles.stamp[-1], **{name: getattr(candles, name)[-1] for name in FIELDS}, volume=volume)
        apart = [name for name, value in again.items() if not np.isclose(value, whole[name], rtol=1e-9, atol=1e-12, equal_nan=True)]
        if apart:
            raise BadInput(
                f"live features keep {TAIL} rows, and these columns come out otherwise from so few: {', '.join(apart)}; "
                "shorten their windows, and put nothing that needs its windows whole (rank, by_slices) into other windows"
            )
        self._last = kept

    def _compute(self, candles: Candles) -> dict[str, float]:
        """Compute all sets, in their order: that tells the recursions apart."""
        newest = {name: float(values[-1]) for columns in self._sets for name, values in computed(columns, candles).items()}
        return {name: min(max(value, -LARGEST), LARGEST) if value == value else value for name, value in newest.items()}

    def append(self, stamp: np.datetime64, *, open: float, high: float, low: float, close: float, volume: float = np.nan) -> dict[str, float]:
        """Take one candle on; NaN stands for what is missing.

        Parameters
        ----------
        stamp
            The next step of the calendar.
        open, high, low, close, volume
            In the units of the history; prices above zero.

        Returns
        -------
        every column's value at the new candle, by name.

        Raises
        ------
        BadInput
            When the stamp does not follow the last one, or a price is not above zero.
        """
        last, prices = self._last, {"open": open, "high": high, "low": low, "close": close}
        if stamp <= last.stamp[-1] or any(value <= 0 for value in prices.values()) or volume < 0:
            raise BadInput(
                f"a new candle must follow {last.stamp[-1]}, with prices above zero and a volume of zero or more; "
                f"got {prices}, volume {volume} at {stamp}; correct it, or pass NaN for what is missing"
            )
        grown = {name: np.append(getattr(last, name), value) for name, value in prices.items()}
        if last.volume is not None:
            grown["volume"] = np.append(last.volume, volume)
        opened, highs, lows, closes, volumes = complete(grown)
        candles = Candles(
            opened[-TAIL:],
            highs[-TAIL:],
            lows[-TAIL:],
            closes[-TAIL:],
            None if volumes is None else volumes[-TAIL:],
            stamp=np.append(last.stamp, stamp.astype("datetime64[s]"))[-TAIL:],
            step=np.append(last.step, last.step[-1] + 1)[-TAIL:],
            unit=last.unit,
            before=last.memory,
        )
        row = self._compute(candles)
        self._last = replace(candles, before=None, known={})
        return row


def _tail_of(candles: Candles) -> Candles:
    """Keep what a new candle needs of candles and recursions, and nothing that was computed from them."""
    tails = {name: getattr(candles, name)[-TAIL:] for name in (*FIELDS, "stamp", "step")}
    volume = None if candles.volume is None else candles.volume[-TAIL:]
    memory: Memory = [(out[-TAIL:].copy(), state) for out, state in candles.memory]
    return replace(candles, **tails, volume=volume, memory=memory, known={}, before=None)
