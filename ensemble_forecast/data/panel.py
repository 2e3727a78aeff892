"""The one form of data inside the package: ragged series on a regular calendar.

Columns are renamed and checked at the door (``data.frames``); from here on there are arrays only.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Panel:
    """A set of series, stored one after the other.

    Parameters
    ----------
    ids
        Name of each of the S series.
    freq
        Pandas offset alias of the calendar, shared by all series.
    start_S
        Stamp of the first step of each series (``datetime64[s]``).
    offsets
        int64, S + 1 entries: series i holds the rows ``offsets[i]:offsets[i + 1]``.
    lengths_S
        Steps of each series up to its last observed target; rows after them only carry known covariates.
    y
        float64 target, one row a step; NaN where missing (``gaps="mask"``) or not yet observed.
    past, known
        float64 covariates, rows as in ``y``, one column each: known up to the origin, or known ahead.
    static
        float64, one row a series.
    """

    ids: tuple[str, ...]
    freq: str
    start_S: np.ndarray
    offsets: np.ndarray
    lengths_S: np.ndarray
    y: np.ndarray
    past: np.ndarray
    known: np.ndarray
    static: np.ndarray
    past_names: tuple[str, ...] = ()
    known_names: tuple[str, ...] = ()
    static_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = int(self.offsets[-1])
        assert len(self.offsets) == len(self.ids) + 1 == len(self.lengths_S) + 1 == len(self.start_S) + 1
        assert len(self.y) == len(self.past) == len(self.known) == rows
        assert len(self.static) == len(self.ids)
        assert (self.lengths_S <= np.diff(self.offsets)).all()
        for array in (self.y, self.past, self.known, self.static):
            array.setflags(write=False)

    @classmethod
    def of(cls, series: list[np.ndarray], *, freq: str = "D", ids: list[str] | None = None, past: list[np.ndarray] | None = None) -> "Panel":
        """Build a panel from arrays, one a series, starting at 2000-01-01; past covariates have one column each."""
        sizes = np.array([len(values) for values in series], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        columns = np.concatenate(past) if past else np.empty((offsets[-1], 0))
        return cls(
            ids=tuple(ids or [f"series_{i}" for i in range(len(series))]),
            freq=freq,
            start_S=np.full(len(series), np.datetime64("2000-01-01", "s")),
            offsets=offsets,
            lengths_S=sizes,
            y=np.concatenate(series).astype(float),
            past=columns.astype(float),
            known=np.empty((offsets[-1], 0)),
            static=np.empty((len(series), 0)),
            past_names=tuple(f"x{j}" for j in range(columns.shape[1])),
        )

    @property
    def n_series(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def ends_S(self) -> np.ndarray:
        """Last observed step of each series: the origin of a forecast into the unknown; -1 for an empty series."""
        return self.lengths_S - 1

    @property
    def typical_length(self) -> float:
        """Median number of observed steps of the series that have any: in an early window many may have none yet."""
        return float(np.median(self.lengths_S[self.lengths_S > 0])) if self.lengths_S.any() else 0.0

    def values(self, index: int) -> np.ndarray:
        """Observed target of one series, oldest first."""
        return self.y[self.offsets[index] : self.offsets[index] + self.lengths_S[index]]

    def place(self, row: int) -> tuple[int, int]:
        """Series and step of a row."""
        series = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return series, row - int(self.offsets[series])

    def stamps(self, index: int, first: int, count: int) -> pd.DatetimeIndex:
        """Stamps of ``count`` steps of one series, from step ``first`` on; they may lie beyond the data."""
        calendar = pd.date_range(self.start_S[index], periods=first + count, freq=self.freq)
        return calendar[first:]

    def stamps_at(self, series_N: np.ndarray, step_N: np.ndarray) -> np.ndarray:
        """Stamp of each (series, step) pair, datetime64 (N,); steps may lie beyond the data. Series that begin together share a calendar."""
        assert (step_N >= 0).all()
        starts, group_N = np.unique(self.start_S[series_N], return_inverse=True)
        size_G = np.zeros(len(starts), dtype=np.int64)
        np.maximum.at(size_G, group_N, step_N + 1)
        calendars = [pd.date_range(start, periods=size, freq=self.freq).to_numpy() for start, size in zip(starts, size_G.tolist(), strict=True)]
        first_G = np.cumsum(size_G) - size_G
        return np.concatenate([np.empty(0, dtype="datetime64[ns]"), *calendars])[first_G[group_N] + step_N]

    @cached_property
    def y_filled(self) -> np.ndarray:
        """Target with missing steps carried forward from the last observed one: reads nothing later than the step itself."""
        if not np.isnan(self.y).any():
            return self.y
        rows = np.arange(len(self.y))
        first = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        last_seen = np.maximum.accumulate(np.where(np.isnan(self.y), first, rows))
        return np.nan_to_num(self.y[last_seen])

    def cut(self, cutoff_S: np.ndarray, ahead: int = 0) -> "Panel":
        """Keep the steps up to and including each series' cutoff: what must not be seen is not passed.

        Parameters
        ----------
        cutoff_S
            Last step to keep, per series; -1 empties a series (its index stays valid).
        ahead
            Steps after the cutoff of which the known covariates, and nothing else, are kept.
        """
        observed_S = np.minimum(cutoff_S + 1, self.lengths_S)
        sizes_S = np.minimum(np.where(observed_S > 0, observed_S + ahead * bool(self.known_names), 0), np.diff(self.offsets))
        offsets = np.concatenate([[0], np.cumsum(sizes_S)])
        step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes_S)
        rows = np.repeat(self.offsets[:-1], sizes_S) + step
        hidden = step >= np.repeat(observed_S, sizes_S)
        return replace(
            self,
            offsets=offsets,
            lengths_S=observed_S,
            y=np.where(hidden, np.nan, self.y[rows]),
            past=np.where(hidden[:, None], np.nan, self.past[rows]),
            known=self.known[rows],
        )
