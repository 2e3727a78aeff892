"""A frame read into arrays: cells became numbers and stamps, rows stand series by series. What cannot be read is a `Problem`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ensemble_forecast.data import numerals, stamps
from ensemble_forecast.data.columns import Layout
from ensemble_forecast.data.problem import Problem, such_rows

Log = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a frame, series by series, in the frame's order within each series.

    Parameters
    ----------
    layout
        Roles of the columns.
    ids
        Name of each series, in order of first appearance.
    offsets
        Series i holds the rows ``offsets[i]:offsets[i + 1]``.
    row
        int64: position of each row in the frame; -1 for rows that were inserted.
    stamp
        int64 seconds since 1970.
    values
        float64 (rows, columns), one column for each name of ``layout.numeric``; the target is the first.
    """

    layout: Layout
    ids: tuple[str, ...]
    offsets: np.ndarray
    row: np.ndarray
    stamp: np.ndarray
    values: np.ndarray

    @property
    def series(self) -> np.ndarray:
        """Index of the series of each row."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))

    @property
    def known(self) -> slice:
        """Columns of ``values`` that hold known covariates."""
        first = 1 + len(self.layout.past)
        return slice(first, first + len(self.layout.known))

    def take(self, rows: np.ndarray) -> "Table":
        """Select rows by mask or by positions that keep series together; series left without rows disappear."""
        series = self.series[rows]
        size_S = np.bincount(series, minlength=len(self.ids))
        return Table(
            self.layout,
            tuple(name for name, size in zip(self.ids, size_S, strict=True) if size),
            np.concatenate([[0], np.cumsum(size_S[size_S > 0])]),
            self.row[rows],
            self.stamp[rows],
            self.values[rows],
        )

    def problem(self, position: int, column: str | None, found: str, remedy: str) -> Problem:
        """State a problem of the row at a position of this table."""
        series = int(np.searchsorted(self.offsets, position, side="right")) - 1
        return Problem(self.ids[series], int(self.row[position]) + 1, column, found, remedy)

    def first_per_series(self, marked: np.ndarray) -> list[tuple[int, int]]:
        """For every series with marked rows: position of the first, and how many there are."""
        position = np.flatnonzero(marked)
        series, first, count = np.unique(self.series[position], return_index=True, return_counts=True)
        return [(int(position[i]), int(n)) for _, i, n in zip(series, first, count, strict=True)]


def read(flat: pd.DataFrame, layout: Layout, log: Log) -> tuple[Table, list[Problem]]:
    """Read a flattened frame. Cells that are no numbers become NaN, rows without stamp or id are left out, and each is a problem."""
    reading = stamps.read(flat[layout.stamp])
    for note in reading.notes:
        log(note)
    values = np.empty((len(flat), len(layout.numeric)))
    unread: list[tuple[str, np.ndarray]] = []
    for i, name in enumerate(layout.numeric):
        values[:, i], bad = numerals.to_numbers(flat[name])
        if bad.any():
            unread.append((name, bad))
    nameless = flat[layout.id].isna().to_numpy(dtype=bool) if layout.id else np.zeros(len(flat), dtype=bool)
    if layout.id:
        codes, names = pd.factorize(flat[layout.id], use_na_sentinel=True)
        merged, distinct = pd.factorize(np.array([str(name) for name in names], dtype=object))  # 1 and "1" are one name
        codes, ids = np.where(codes < 0, -1, np.append(merged, -1)[codes]), tuple(distinct)
    else:
        codes, ids = np.zeros(len(flat), dtype=np.int64), (layout.target,)
    order = (
        np.arange(len(flat)) if (codes[1:] >= codes[:-1]).all() and not nameless.any() else np.argsort(codes, kind="stable")[int(nameless.sum()) :]
    )
    counts = np.bincount(codes[order], minlength=len(ids))
    whole = Table(layout, ids, np.concatenate([[0], np.cumsum(counts)]), order, reading.seconds[order], values[order])
    problems = [*_stamp_problems(whole, reading, flat[layout.stamp]), *_id_problems(layout, nameless)]
    for name, bad in unread:
        for position, count in whole.first_per_series(bad[order]):
            cell = flat[name].iloc[whole.row[position]]
            problems.append(whole.problem(position, name, f"{cell!r} is no number{such_rows(count)}", "write a number or leave the cell empty"))
    return whole.take(whole.stamp != stamps.MISSING), problems


def _stamp_problems(table: Table, reading: stamps.Reading, cells: pd.Series) -> list[Problem]:
    """Say which stamps are missing, unreadable, ambiguous or in another time zone than most."""
    name = table.layout.stamp
    if reading.doubt:
        remedy = "round them to seconds" if "fractions" in reading.doubt else "write them as 2024-01-31"
        return [Problem(None, 1, name, reading.doubt, remedy)]
    problems = []
    unread = reading.unread[table.row]
    missing = (table.stamp == stamps.MISSING) & ~unread
    for position, count in table.first_per_series(unread):
        remedy = "write dates as 2024-01-31 or 2024-01-31 13:00"
        problems.append(table.problem(position, name, f"{cells.iloc[table.row[position]]!r} is no date{such_rows(count)}", remedy))
    for position, count in table.first_per_series(missing):
        problems.append(table.problem(position, name, f"the stamp is missing{such_rows(count)}", "fill it in or remove the row"))
    for position, count in table.first_per_series(reading.mixed[table.row]):
        cell = cells.iloc[table.row[position]]
        found = f"mixed time zones: {str(cell)!r} is not in the zone of most rows{such_rows(count)}"
        problems.append(table.problem(position, name, found, "write all stamps in UTC (doctor --fix converts them)"))
    return problems


def _id_problems(layout: Layout, nameless: np.ndarray) -> list[Problem]:
    """Say where the name of the series is missing."""
    if not nameless.any():
        return []
    first, count = int(np.argmax(nameless)), int(nameless.sum())
    return [Problem(None, first + 1, layout.id, f"the series has no name{such_rows(count)}", "fill it in or remove the row")]


def trim(table: Table, log: Log) -> Table:
    """Drop rows before the first observed target of each series, and rows after the last one that lack a known covariate."""
    observed = np.flatnonzero(~np.isnan(table.values[:, 0]))
    begin_S, end_S = table.offsets[:-1], table.offsets[1:]
    low_S, high_S = np.searchsorted(observed, begin_S), np.searchsorted(observed, end_S)
    empty_S = low_S == high_S
    bounded = np.concatenate([observed, [0]])
    first_S = np.where(empty_S, end_S, bounded[low_S])
    last_S = np.where(empty_S, end_S, bounded[high_S - 1])
    stop_S = np.minimum(last_S + 1, end_S)
    if table.layout.known:
        incomplete = np.concatenate([np.flatnonzero(np.isnan(table.values[:, table.known]).any(axis=1)), [len(table.stamp)]])
        stop_S = np.where(empty_S, end_S, np.minimum(incomplete[np.searchsorted(incomplete, np.minimum(last_S + 1, len(table.stamp)))], end_S))
    if empty_S.any():
        name = table.ids[int(np.argmax(empty_S))]
        log(f"{int(empty_S.sum())} series without any observed target left out, the first is {name!r}")
    leading, trailing = int((first_S - begin_S)[~empty_S].sum()), int((end_S - stop_S)[~empty_S].sum())
    if leading:
        log(f"{leading} leading rows without target dropped")
    if trailing:
        log(f"{trailing} trailing rows without target{' or without all known covariates' if table.layout.known else ''} dropped")
    if not (leading or trailing or empty_S.any()):
        return table
    position = np.arange(len(table.stamp))
    size_S = np.diff(table.offsets)
    return table.take((position >= np.repeat(first_S, size_S)) & (position < np.repeat(stop_S, size_S)))


def ordered(table: Table) -> Table:
    """Sort rows by stamp within each series; equal stamps keep their order."""
    order = np.lexsort((table.stamp, table.series))
    return replace(table, row=table.row[order], stamp=table.stamp[order], values=table.values[order])


def last_of_equal_stamps(table: Table) -> np.ndarray:
    """Mask of the rows of a sorted table that are the last with their stamp."""
    same = np.diff(table.stamp) == 0
    same[table.offsets[1:-1] - 1] = False
    return np.concatenate([~same, np.ones(min(1, len(table.stamp)), dtype=bool)])
